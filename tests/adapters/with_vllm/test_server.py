"""vLLM's real server with the model and its LoRA weights under two names."""

import os

import pytest
from server import vllm_server

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default"), pytest.mark.timeout(900)]


def test_it_answers_with_the_lora_weights_and_without_them_and_leaves_no_process(smollm2, smollm2_lora, tmp_path):
    import httpx

    with vllm_server(smollm2, tmp_path / "log", "smollm2", {"tuned": smollm2_lora}) as server:
        assert [model["id"] for model in httpx.get(f"{server.url}/models").json()["data"]] == ["smollm2", "tuned"]
        body = {"messages": [{"role": "user", "content": "Where is my parcel?"}], "max_tokens": 12, "temperature": 0}
        answers = [
            httpx.post(f"{server.url}/chat/completions", json={**body, "model": name}, timeout=120).json()
            for name in ("smollm2", "tuned")
        ]
    texts = [answer["choices"][0]["message"]["content"] for answer in answers]
    assert texts[0] != texts[1]
    assert all(texts)
    with pytest.raises(ProcessLookupError):
        os.killpg(server.group, 0)
