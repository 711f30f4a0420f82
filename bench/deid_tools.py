"""One tool over one folder of DICOM files in one process: run by path, in the environment that has the tool.

`python -P deid_tools.py TOOL SOURCE DEST WARM [RECIPE]` treats the file WARM first, which pays for imports and tables,
then every file of SOURCE into DEST under its own name, and prints how many seconds and CPU seconds that took.
Needs nothing of the project unless the tool is the project's.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

One = Callable[[Path, Path], object]
SECRET = b"a key for measurements alone"


def copy(_: str) -> One:
    return shutil.copyfile


def pydicom(_: str) -> One:
    dcmread = import_module("pydicom").dcmread
    return lambda source, target: dcmread(source).save_as(target)


def first_pass(_: str) -> One:
    dicom, known, key, _second = _ours()
    return lambda source, target: dicom.deidentify_file(source, target, key, known)


def both_passes(_: str) -> One:
    dicom, known, key, second_pass = _ours()

    def one(source: Path, target: Path) -> None:
        dicom.deidentify_file(source, target, key, known)
        second_pass.check(source, target, known, key.shift_days)

    return one


def _ours() -> tuple[Any, ...]:
    module = import_module("imaging.deid.folder")
    known = import_module("imaging.deid.known").KnownIdentity()
    key = module.Run(secret=SECRET).key_of("bench")
    return import_module("imaging.deid.dicom"), known, key, import_module("imaging.deid.second_pass")


def command(jobs: int) -> Callable[[Path, Path], object]:
    """The command itself, from its start to its answer: settings, children, naming, moving in, the report."""

    def all_of(source: Path, dest: Path) -> None:
        words = ["deid", str(source), str(dest), "--keep-names", "--jobs", str(jobs), "--json"]
        start = "from teledx.cli import main; main()"
        subprocess.run([sys.executable, "-c", start, *words], stdout=subprocess.DEVNULL, check=True)

    return all_of


def dicognito(_: str) -> One:
    dcmread = import_module("pydicom").dcmread
    anonymizer = import_module("dicognito.anonymizer").Anonymizer(seed="bench")

    def one(source: Path, target: Path) -> None:
        with dcmread(source) as dataset:
            anonymizer.anonymize(dataset)
            dataset.save_as(target)

    return one


def dicom_anonymizer(_: str) -> One:
    module = import_module("dicomanonymizer.simpledicomanonymizer")
    return lambda source, target: module.anonymize_dicom_file(str(source), str(target))


def deid(recipe: str) -> One:
    logging.getLogger("deid").setLevel(logging.CRITICAL)
    import_module("deid.logger").bot.level = 0
    read = import_module("deid.config").DeidRecipe(deid=recipe)
    parser_of = import_module("deid.dicom.parser").DicomParser

    def one(source: Path, target: Path) -> None:
        parser = parser_of(str(source), recipe=read)
        parser.parse(remove_private=True)
        parser.dicom.save_as(target)

    return one


def dcmanon(_: str) -> One:
    anonymizer = import_module("dcmanon").Anonymizer()
    return lambda source, target: target.write_bytes(anonymizer.anonymize(str(source)))


TOOLS: Mapping[str, Callable[[str], One]] = {
    tool.__name__: tool
    for tool in (
        copy, pydicom, first_pass, both_passes, dicognito, dicom_anonymizer, deid, dcmanon,
    )
}  # fmt: skip
COMMANDS: Mapping[str, int] = {"command_1": 1, "command_2": 2}


def main(tool: str, source: Path, dest: Path, warm: Path, recipe: str = "") -> None:
    """Prints seconds and CPU seconds for all of `source`, the warm file not counted."""
    if tool in COMMANDS:
        whole = command(COMMANDS[tool])
        began = time.perf_counter(), time.process_time()
        whole(source, dest)
    else:
        one = TOOLS[tool](recipe)
        files = sorted(source.iterdir())
        one(warm, dest / "warm")
        (dest / "warm").unlink()
        began = time.perf_counter(), time.process_time()
        for file in files:
            one(file, dest / file.name)
    print(time.perf_counter() - began[0], time.process_time() - began[1])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), *sys.argv[5:])
