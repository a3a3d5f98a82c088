"""Hashes of large files are remembered, and what a kill tore is not taken for one."""

from hashlib import sha256

import pytest

from cscbench.content import hashes


@pytest.fixture
def remembered(tmp_path, monkeypatch):
    """Where hashes are remembered: of files of any size, in this test."""
    monkeypatch.setattr(hashes, "_REMEMBER_FROM_BYTES", 0)
    monkeypatch.setenv("CSCBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sha256"


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    return path


def test_a_hash_is_remembered_without_reading_the_file_again(weights, remembered, monkeypatch):
    assert hashes.file_sha256(weights) == sha256(b"weights").hexdigest()
    (memo,) = remembered.iterdir()
    monkeypatch.setattr(hashes, "hash_file", lambda path: pytest.fail("it was read again"))
    assert hashes.file_sha256(weights) == memo.read_text() == sha256(b"weights").hexdigest()


@pytest.mark.parametrize("torn", [b"", b"0123", b"\0" * 64, "ä".encode() * 32, b"f" * 65])
def test_a_torn_memory_is_mended(weights, remembered, torn):
    hashes.file_sha256(weights)
    (memo,) = remembered.iterdir()
    memo.write_bytes(torn)
    assert hashes.file_sha256(weights) == sha256(b"weights").hexdigest()
    assert [(path, path.read_text()) for path in remembered.iterdir()] == [(memo, sha256(b"weights").hexdigest())]
