"""Whatever the house says of a file, an order or a request, it says in Chinese too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cases.details import Details, table
from gateway.chinese import zh

ROOT = Path(__file__).parents[2]
ROOMS = ("cases", "imaging", "workers", "storage", "reports", "gateway")
# Errors whose texts people read, and which of their arguments those are.
SAID = {
    "Quarantine": (1,),
    "Reject": (1,),
    "AskClinic": (1,),
    "NotAllowed": (0,),
    "Refusal": (2, 3),
    "shaped": (2, 3),
}
# Tables whose texts people read.
TABLES = {
    "cases/order.py": ("_WORDS",),
    "gateway/refusals.py": ("_ROWS", "_HTTP"),
    "imaging/deid/objects.py": ("_WITHHELD",),
    "imaging/deid/reading.py": ("NEEDED", "_NEEDED_SEQUENCES"),
}
# Sentences that several texts make together, and those of pydantic.
MADE = {
    *("{} and {}", "{} or {}", "{} and {} more", "ID and name", "{} differs in {}", "{} differ in {}"),
    *("{} of {} file", "{} of {} files", "holds a part that does not exist; did you mean {}?"),
    *("{} missing in {} series; {} series {} lacks {}", "{} missing in {} series; {} series lacks {}"),
    *("must be {}", "must be a valid {}", "must be greater than {}", "must be greater than or equal to {}"),
    "must be less than or equal to {}",
}
ENGLISH = re.compile(r"[a-z]{3,} [a-z]{2,}")

TREES = {
    path: ast.parse(path.read_text(encoding="utf-8"))
    for room in ROOMS
    for path in sorted((ROOT / room).rglob("*.py"))
}


def texts(node: ast.expr) -> Iterator[str]:
    """What a text may be, with `{}` for what is filled in; nothing for what is made elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)
    elif isinstance(node, ast.IfExp):
        yield from (*texts(node.body), *texts(node.orelse))


def name_of(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def handing_on() -> dict[str, tuple[int, ...]]:
    """Functions that make such an error of a text they are given, and which argument it is."""
    found = {}
    for tree in TREES.values():
        for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
            names = [argument.arg for argument in function.args.args]
            for call in (c for c in calls(function) if name_of(c) in SAID):
                given = [c.args[i] for c in (call,) for i in SAID[name_of(call)] if len(c.args) > i]
                places = tuple(names.index(g.id) for g in given if isinstance(g, ast.Name) and g.id in names)
                if places:
                    found[function.name] = places
    return found


def sentences() -> Iterator[tuple[str, str]]:
    """Every such sentence and the file it stands in."""
    said = SAID | handing_on()
    for path, tree in TREES.items():
        place = str(path.relative_to(ROOT))
        for call in (c for c in calls(tree) if name_of(c) in said):
            for argument in (call.args[i] for i in said[name_of(call)] if len(call.args) > i):
                yield from ((text, place) for text in texts(argument))
        if place in ("cases/order.py", "cases/fitness.py"):
            refused = [c.args[0] for c in calls(tree) if name_of(c) == "ValueError"]
            refused += [n.value for n in ast.walk(tree) if isinstance(n, ast.Yield) and n.value is not None]
            yield from ((text, place) for argument in refused for text in texts(argument))
        if place == "imaging/deid/second_pass.py":
            found = [k.value for c in calls(tree) if name_of(c) == "Finding" for k in c.keywords]
            found += [n.value for n in ast.walk(tree) if isinstance(n, ast.Return) and n.value is not None]
            yield from ((text, place) for argument in found for text in texts(argument))
        for node in tree.body:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            if isinstance(target, ast.Name) and target.id in TABLES.get(place, ()):
                yield from ((n.value, place) for n in ast.walk(node) if isinstance(n, ast.Constant)
                            and isinstance(n.value, str) and " " in n.value)  # fmt: skip


SENTENCES = sorted(set(sentences()))


@pytest.mark.parametrize("room", ROOMS)
def test_every_sentence_has_its_chinese(room: str) -> None:
    mine = [sentence for sentence, place in SENTENCES if place.startswith(f"{room}/")]
    english = {sentence: told for sentence in mine if ENGLISH.search(told := zh(sentence.replace("{}", "7")))}
    assert english == {}
    assert len(mine) >= {"imaging": 200, "gateway": 40}.get(room, 0)


def test_no_row_outlives_its_sentence() -> None:
    written = {
        text
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.expr)
        for text in texts(node)
    }
    written |= {part for text in written for part in (*re.split("; |: ", text), text.partition(": ")[2])}
    assert set(table()) - written - MADE == set()


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("file 1 of the order: the file ends 12959 bytes too early", "申请单第 1 个文件:文件缺少末尾 12959 字节"),
        ("ID and birth date differ in 1 of 2 files", "1/2 个文件中的患者编号和出生日期不一致"),
        ("a true UID in (0020,000D); bytes in the preamble and 3 more", "(0020,000D):真实 UID;文件前导:字节,另有 3 处"),
        ("lost or changed: age, body part examined", "丢失或改变:年龄、检查部位"),
        ("patient.name: is missing", "patient.name:缺少"),
        ("1 of 2 images: text in the picture: a name or number of this case; date",
         "2 幅图像中的 1 幅:图像中的文字:本病例的姓名或编号;日期"),
        ("iSyntax: In the Philips IMS choose Export, DICOM.", "iSyntax:请在飞利浦 IMS 中选择“导出-DICOM”。"),
        ("戴诗琪/large.svs", "戴诗琪/large.svs"),
    ],
)  # fmt: skip
def test_sentences_are_put_together_as_they_were_in_english(english: str, chinese: str) -> None:
    assert zh(english) == chinese


def test_a_row_of_the_table_is_preferred_to_its_parts() -> None:
    details = Details(
        {"a, b": "whole", "a": "part", "b": "part", "{} b": "light", "{} and nothing else": "only {0}"}
    )
    assert [details.zh(s) for s in ("a, b", "a, a", "c b", "a and nothing else")] == [
        "whole",
        "part、part",
        "light",
        "only part",
    ]
