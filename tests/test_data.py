"""The CSConv format in its three file types, and the errors for records and files that cannot be read."""

import hashlib
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscbench.content.csconv import Fault, load_csconv
from cscbench.values import Dialogue, Language, Speaker, Turn, UserError


def record(number: int = 0, **fields):
    """A dialogue in the published shape: strategy empty, null or absent on customer turns, no id, no language."""
    return {
        "dialogue": [
            {"speaker": "客服", "strategy": "策略1 礼貌问候", "text": f"您好，{number}号客服为您服务。"},
            {"speaker": "客户", "strategy": "", "text": "我要查账单。"},
            {"speaker": "客服", "strategy": "策略2：确认身份", "text": "请报一下[手机号码]。"},
            {"speaker": "客户", "strategy": None, "text": f"尾号{number}。"},
            {"speaker": "客服", "strategy": "感谢与告别", "text": "感谢来电，再见。"},
            {"speaker": "客户", "text": "再见。"},
        ],
        "source": "账户与交易",
        **fields,
    }


def turned(position: int, **fields):
    """A record with changed fields in one turn."""
    changed = record()
    changed["dialogue"][position] = {**changed["dialogue"][position], **fields}
    return changed


def write(name: str, content: bytes | str | list) -> Path:
    """A file in the working directory; a list becomes JSON, JSONL or parquet by its suffix."""
    path = Path(name)
    if isinstance(content, list):
        if path.suffix == ".parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(content), path)
            return path
        lines = [json.dumps(entry, ensure_ascii=False) for entry in content]
        content = "\n".join(lines) + "\n" if path.suffix == ".jsonl" else f"[{','.join(lines)}]"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_published_file_becomes_dialogues_word_for_word():
    path = write("CSConv.json", [record(3)])
    loaded = load_csconv(path)
    assert loaded.dialogues == (
        Dialogue(
            "00000",
            (
                Turn(Speaker.SUPPORTER, "您好，3号客服为您服务。", "GT"),
                Turn(Speaker.CUSTOMER, "我要查账单。"),
                Turn(Speaker.SUPPORTER, "请报一下[手机号码]。", "IV"),
                Turn(Speaker.CUSTOMER, "尾号3。"),
                Turn(Speaker.SUPPORTER, "感谢来电，再见。", "AC"),
                Turn(Speaker.CUSTOMER, "再见。"),
            ),
            Language.ZH,
            "",
            "账户与交易",
        ),
    )
    assert (loaded.faults, loaded.notes, loaded.source.name) == ((), (), "CSConv.json")
    assert loaded.source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(str.strip)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4), st.sampled_from(["en", "zh"]))
def test_json_jsonl_and_parquet_of_the_same_give_the_same_dialogues(words, language):
    records = [
        record(n, id=f"d{n}", language=language, topic=first.strip())
        | {"dialogue": [{**turned(1, text=second)["dialogue"][i], "text": (first, second, first)[i]} for i in range(3)]}
        for n, (first, second) in enumerate(words)
    ]
    loaded = [load_csconv(write(f"d{suffix}", records)) for suffix in (".json", ".jsonl", ".parquet")]
    assert [part.faults for part in loaded] == [()] * 3
    assert [turn.text for turn in loaded[0].dialogues[0].turns] == [
        words[0][0].strip(),
        words[0][1].strip(),
        words[0][0].strip(),
    ]
    assert loaded[0].dialogues == loaded[1].dialogues == loaded[2].dialogues


@pytest.mark.parametrize(
    ("texts_of", "language"),
    [(("您好", "ok"), Language.ZH), (("Hello", "Hi"), Language.EN), (("Hello", "𠀀"), Language.ZH)],
)
def test_a_file_that_names_no_language_is_read_by_its_script(texts_of, language):
    changed = record()
    changed["dialogue"] = [{**turn, "text": text} for turn, text in zip(changed["dialogue"], texts_of, strict=False)]
    assert load_csconv(write("d.json", [changed])).dialogues[0].language is language


FAULTS = [
    (turned(2, strategy="策略13 闲聊"), "dialogue[2].strategy", "unknown strategy '策略13 闲聊'"),
    (turned(4, strategy="策略1 礼貌问候+策略2 确认身份"), "dialogue[4].strategy", "expected one strategy per turn"),
    (turned(3, text=None), "dialogue[3].text", "expected text, got nothing"),
    (turned(3, speaker="客服", strategy="1"), "dialogue[3].speaker", "two supporter turns in a row (2 and 3)"),
    ("您好", "(record)", "expected an object, got a string"),
]
MORE_FAULTS = [
    (turned(0, strategy=""), "dialogue[0].strategy", "a supporter turn needs a strategy, got an empty value"),
    (turned(0, strategy=None), "dialogue[0].strategy", "got nothing"),
    (turned(0, strategy=1), "dialogue[0].strategy", "got a number"),
    (turned(0, strategy="策略2 礼貌问候"), "dialogue[0].strategy", "unknown strategy"),
    (turned(1, strategy="1"), "dialogue[1].strategy", "a customer turn has no strategy"),
    (turned(1, speaker="路人"), "dialogue[1].speaker", "got '路人'"),
    (turned(1, speaker=None), "dialogue[1].speaker", "客服 or 客户"),
    (turned(1, text=" \n"), "dialogue[1].text", "got an empty value"),
    (turned(1, text=["a"]), "dialogue[1].text", "got a list"),
    (turned(1, text="half \ud83d"), "dialogue[1].text", r"half a character ('\ud83d') at position 5"),
    (record(source="\udc00"), "source", "half a character"),
    (record(dialogue=[]), "dialogue", "no turns"),
    (record(dialogue=None), "dialogue", "expected a list of turns, got nothing"),
    (record(dialogue="text"), "dialogue", "got a string"),
    (record(dialogue=["text"]), "dialogue[0]", "expected an object"),
    (record(dialogue=[{"speaker": "客户", "text": "喂"}]), "dialogue", "no supporter turn"),
    (record(language="fr"), "language", "'fr' is not one of zh, en"),
    (record(language=["zh"]), "language", "is not one of zh, en"),
    (record(id="00000"), "id", "'00000' is also the id of record 0"),
    ({}, "dialogue", "got nothing"),
    (None, "(record)", "got nothing"),
    (7, "(record)", "got a number"),
]


@pytest.mark.parametrize(
    ("bad", "field", "reason"), FAULTS + MORE_FAULTS, ids=[f"{f[1]}:{f[2]}" for f in FAULTS + MORE_FAULTS]
)
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_a_bad_record_is_reported_and_the_rest_go_on(suffix, bad, field, reason):
    text = [json.dumps(entry) for entry in (record(1), bad, record(2))]
    loaded = load_csconv(write(f"d{suffix}", "\n".join(text) if suffix == ".jsonl" else f"[{','.join(text)}]"))
    assert [dialogue.id for dialogue in loaded.dialogues] == ["00000", "00002"]
    (fault,) = loaded.faults
    assert (fault.file, fault.index, fault.field) == (f"d{suffix}", 1, field)
    assert reason in fault.reason


def test_five_planted_faults_are_told_by_the_command_and_kept_in_its_files(cscbench):
    records = [record(n) for n in range(12)]
    indexes = [1, 4, 5, 8, 11]
    for index, (bad, _, _) in zip(indexes, FAULTS, strict=True):
        records[index] = bad
    path = write("CSConv.json", records)
    expected = [(p, field) for p, (_, field, _) in zip(indexes, FAULTS, strict=True)]
    loaded = load_csconv(path)
    assert [(f.index, f.field) for f in loaded.faults] == expected
    assert [int(d.id) for d in loaded.dialogues] == [n for n in range(12) if n not in indexes]

    done = cscbench("run", "--model", "gold", "--task", "csconv", "--data", path, "--encoder", "none")
    assert done.returncode == 0, done.stderr
    reported = [line for line in done.stderr.splitlines() if "CSConv.json, record" in line]
    assert len(reported) == 5
    for line, (index, (_, field, reason)) in zip(reported, zip(indexes, FAULTS, strict=True), strict=True):
        assert f"CSConv.json, record {index}, {field}: " in line
        assert reason in line
    (folder,) = Path("reports").iterdir()
    results, run = (json.loads((folder / name).read_text("utf-8")) for name in ("results.json", "run.json"))
    for written in (results["data"]["faults"], run["data"]["faults"]):
        assert [Fault(**fault) for fault in written] == list(loaded.faults)
    assert (results["counts"]["faults"], results["counts"]["dialogues"], results["counts"]["turns"]) == (5, 7, 21)
    values = {metric["name"]: metric["value"] for metric in results["metrics"]}
    assert values["strategy_accuracy"] == pytest.approx(100)
    assert values["bleu_4"] == pytest.approx(100)


LINE = json.dumps(record(), ensure_ascii=False)
BROKEN_FILES = [
    ("torn.json", f"[{LINE},{LINE[:60]}", r"torn.json:1: not valid JSON .*truncated: download it again"),
    ("torn.json", f"[\n{LINE},\n", r"torn.json:3: .*truncated"),
    ("torn.json", f"[{LINE}", "truncated"),
    ("bad.json", f"[\n{LINE},\n}},\n{LINE}]", r"bad.json:3: not valid JSON \(column 1\).*correct it there"),
    ("lines.json", f"{LINE}\n{LINE}\n", r"one record per line: rename it to .jsonl"),
    ("object.json", '{"data": []}', "expected a JSON list of dialogues, got an object"),
    ("text.json", '"hello"', "got a string"),
    ("deep.json", "[" * 100_000, "deep.json: not readable JSON"),
    ("long.json", "[" + "1" * 5000 + "]", "long.json: not readable JSON"),
    ("empty.json", "", "empty.json: the file is empty"),
    ("blank.json", "\ufeff \n", "blank.json: the file is empty"),
    ("empty.jsonl", "", "none of its 0 records"),
    ("none.json", "[]", "none of its 0 records"),
    ("all.json", "[1, 2]", r"none of its 2 records is a readable dialogue; first fault: record 0, \(record\)"),
    ("gbk.json", f"[{LINE}]".encode("gbk"), r"gbk.json: not UTF-8 at byte \d+: convert the file"),
    ("utf16.json", f"[{LINE}]".encode("utf-16"), "not UTF-8 at byte 0"),
    ("data.csv", "a,b", "unknown data format '.csv': use .json, .jsonl or .parquet"),
    ("data", "x", "unknown data format ''"),
    ("text.parquet", "no parquet at all", "text.parquet: not a readable parquet file"),
    ("empty.parquet", "", "not a readable parquet file"),
]


@pytest.mark.parametrize(("name", "content", "message"), BROKEN_FILES)
def test_a_broken_file_is_refused_with_its_place_and_cure(name, content, message):
    with pytest.raises(UserError, match=message):
        load_csconv(write(name, content))


@pytest.mark.parametrize(("path", "message"), [("none.json", "No such file"), (".", "Is a directory")])
def test_a_file_that_is_not_there_is_named(path, message):
    with pytest.raises(UserError, match=message):
        load_csconv(Path(path))


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".JSON"])
def test_a_byte_order_mark_is_no_fault(suffix):
    text = LINE if suffix == ".jsonl" else f"[{LINE}]"
    loaded = load_csconv(write(f"bom{suffix}", b"\xef\xbb\xbf" + text.encode()))
    assert (len(loaded.dialogues), loaded.faults) == (1, ())


@pytest.mark.parametrize("bad", [LINE[:70].encode(), LINE.encode("gbk"), b"[" * 100_000, b"1" * 5000])
def test_a_broken_line_of_a_jsonl_file_costs_only_itself(bad):
    loaded = load_csconv(write("d.jsonl", LINE.encode() + b"\r\n\r\n" + bad + b"\n" + LINE.encode()))
    assert [d.id for d in loaded.dialogues] == ["00000", "00002"]
    (fault,) = loaded.faults
    assert (fault.index, fault.field) == (1, "(record)")
    assert "line 3 is not valid JSON" in fault.reason  # the line counts blank ones, the index does not


def test_a_customers_blank_strategy_is_none():
    loaded = load_csconv(write("d.json", [turned(1, strategy=" "), turned(3, strategy="")]))
    assert len(loaded.dialogues) == 2
    assert all(t.strategy is None for d in loaded.dialogues for t in d.turns if t.speaker is Speaker.CUSTOMER)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-20], lambda b: b[:4] + b"xx" * 30 + b[64:], lambda b: b[len(b) // 2 :]]
)
def test_a_damaged_parquet_file_is_refused(damage):
    whole = write("whole.parquet", [record(n) for n in range(5)]).read_bytes()
    with pytest.raises(UserError, match=r"torn.parquet: not a readable parquet file"):
        load_csconv(write("torn.parquet", damage(whole)))


@pytest.mark.parametrize(
    ("name", "rows", "noted"),
    [("train.parquet", 13_087, True), ("train.PARQUET", 13_087, True), ("train.parquet", 1_855, False)],
)
def test_the_hubs_mixed_split_is_told_by_its_row_count(name, rows, noted):
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([record()] * rows), sink)
    loaded = load_csconv(write(name, sink.getvalue().to_pybytes()))
    assert len(loaded.dialogues) == rows
    assert bool(loaded.notes) is noted
    if noted:
        assert "not CSConv scores: use data/CSConv.json" in loaded.notes[0]
