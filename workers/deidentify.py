"""deidentify: what may leave the region, proved by a second pass that shares no code with the first.

Instances go through the killable child in batches; slides are composed inside the store; the order becomes a brief.
Where pictures are doubtful nothing leaves: they are kept in the region, marked, for a person to look at and decide.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cases.documents import (
    BlankedInstance,
    Deidentified,
    Doubtful,
    DoubtfulPicture,
    InstanceFound,
    Preprocessed,
    Received,
    StoredObject,
)
from cases.errors import Quarantine
from cases.indexed import IndexedInstance
from cases.ports import PatientKey
from imaging.deid import brief
from imaging.deid.doubts import PixelsDoubtful
from imaging.deid.known import KnownIdentity, from_order
from imaging.deid.pixels import Decisions
from imaging.dicom.study import representative
from storage.transition import Done
from workers.deidentify_slides import folder, identity_values, slides
from workers.facts import DeidentifyFacts
from workers.files import Files
from workers.native import Treated, instance_name, treat
from workers.parts import Tools, Work
from workers.pictures import PNG, keep

DICOM = "application/dicom"
PROFILE = "network"
# Instances in one call of the child, and seconds that the call may take: text is looked for in every frame.
BATCH = 16
BATCH_SECONDS = 300.0
FRAME_SECONDS = 1.0
PARALLEL = 2
PREVIEWS_MAX = 24
# Doubtful pictures of one case that a person is asked to look at.
LOOKED_AT_MAX = 100


def deidentify(work: Work, tools: Tools) -> Done:
    """Raises `Quarantine` (`identity-left`, `reading-loss`, `pixels-doubtful`, `slide-unsafe`, ...)."""
    key = tools.vault.patient_key(work.case.clinic, work.order.patient.id)
    known = from_order(work.order)
    found = Preprocessed.model_validate(work.documents["preprocess"])
    facts: DeidentifyFacts = work.facts
    came_out = _Instances(work, tools, key, known, facts.decisions).treat_all(found)
    values = identity_values(known)
    whole, written_on = slides(work, tools, key, values, facts.decisions)
    doubts = [*came_out.doubts, *written_on]
    if doubts:
        images = len(came_out.doubts) + len(came_out.files) + len(found.slides)
        return _to_look_at(work, tools, doubts, images)
    files, previews = [*came_out.files, *whole], [*came_out.pictures, *_overviews(work, tools, found)]
    document = Deidentified(
        brief=brief.make(
            work.order,
            key,
            known,
            found,
            priority=work.case.priority,
            received_on=work.case.received_at.date(),
            earlier=facts.earlier,
            blanked_instances=len(came_out.blanked),
        ),
        files=tuple(files),
        previews=tuple(previews),
        blanked=tuple(came_out.blanked),
        profile=PROFILE,
        key_id=key.key_id,
        total_bytes=sum(f.size for f in files),
    )
    note = f"{len(files)} files, key {key.key_id}"
    return Done(document=document, objects=[*files, *previews], indexed=came_out.indexed, note=note)


def _to_look_at(work: Work, tools: Tools, doubts: Sequence[PixelsDoubtful], images: int) -> Done:
    """The marked pictures, kept where the images are; more than a person can look at are withheld without."""
    marked = [(doubt.instance, each) for doubt in doubts for each in doubt.marked]
    said = "; ".join(sorted({doubt.detail for doubt in doubts}))
    aside = Quarantine("pixels-doubtful", f"{len(doubts)} of {images} images: {said}")
    if len(marked) > LOOKED_AT_MAX:
        raise aside
    pictures = tuple(
        DoubtfulPicture(
            instance=instance,
            findings=each.findings,
            stored=keep(work, tools, f"doubt/{number:03d}.png", each.png),
        )
        for number, (instance, each) in enumerate(marked, 1)
    )
    return Done(document=Doubtful(pictures=pictures), objects=[p.stored for p in pictures], aside=aside)


@dataclass(frozen=True, kw_only=True)
class _CameOut:
    """What a batch of instances, or all of them, became: files, what is told of each, pictures of one instance a
    series, what was blanked in them; and what is doubtful."""

    files: list[StoredObject]
    indexed: list[IndexedInstance]
    pictures: list[StoredObject]
    blanked: list[BlankedInstance]
    doubts: list[PixelsDoubtful]


class _Instances:
    """The case's DICOM instances on their way through the child."""

    def __init__(
        self, work: Work, tools: Tools, key: PatientKey, known: KnownIdentity, decided: Decisions
    ) -> None:
        self._tools = tools
        self._key = key
        self._known = known
        self._decided = decided
        received = Received.model_validate(work.documents["receive"])
        self._files = Files(received, tools.objects, tools.scratch)
        self._folder = folder(work)

    def treat_all(self, found: Preprocessed) -> _CameOut:
        series = [s for st in found.studies for s in st.series]
        instances = [i for s in series for i in s.instances]
        pictured = {representative(s).sop_instance_uid for s in series[:PREVIEWS_MAX] if s.modality != "SM"}
        batches = [instances[at : at + BATCH] for at in range(0, len(instances), BATCH)]
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="deidentify") as pool:
            try:
                done = list(pool.map(lambda batch: self._treat(batch, pictured), batches))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return _CameOut(
            files=[f for batch in done for f in batch.files],
            indexed=[i for batch in done for i in batch.indexed],
            pictures=[p for batch in done for p in batch.pictures],
            blanked=[b for batch in done for b in batch.blanked],
            doubts=[d for batch in done for d in batch.doubts],
        )

    def _treat(self, batch: Sequence[InstanceFound], pictured: Set[str]) -> _CameOut:
        """Fetch, treat, write; every file of the batch is off this disk afterwards."""
        with ExitStack() as here:
            sources = {
                i.sop_instance_uid: here.enter_context(self._files.here(i.file, i.member)) for i in batch
            }
            pairs = [(source, source.with_name(f"{source.name}.out")) for source in sources.values()]
            shown = frozenset(path for uid, path in sources.items() if uid in pictured)
            seconds = BATCH_SECONDS + FRAME_SECONDS * sum(i.frames for i in batch)
            treated = self._tools.child.run_for(
                seconds, treat, pairs, self._key, self._known, shown, self._decided
            )
            return _CameOut(
                files=[self._keep_file(t) for t in treated if t.done is not None],
                indexed=[t.indexed for t in treated if t.indexed is not None],
                pictures=[self._keep_picture(t) for t in treated if t.picture is not None],
                blanked=[
                    BlankedInstance(sop_instance_uid=t.done.sop_instance_uid, areas=t.done.blanked)
                    for t in treated
                    if t.done is not None and t.done.blanked
                ],
                doubts=[t.doubt for t in treated if t.doubt is not None],
            )

    def _keep_file(self, treated: Treated) -> StoredObject:
        assert treated.done is not None, "only what came out is kept"
        key = f"{self._folder}/{instance_name(treated.done.sop_instance_uid)}"
        stored = self._tools.objects.upload("deidentified", key, treated.target, DICOM)
        treated.target.unlink()
        return stored

    def _keep_picture(self, treated: Treated) -> StoredObject:
        assert treated.done is not None, "only what came out is shown"
        assert treated.picture is not None, "the caller kept those that have one"
        key = f"{self._folder}/preview/{treated.done.series_uid}.png"
        return self._tools.objects.write("deidentified", key, treated.picture, PNG)


def _overviews(work: Work, tools: Tools, found: Preprocessed) -> list[StoredObject]:
    """Pictures of slides for the worklist: they show tissue alone."""
    shown = [p for p in found.previews if not p.identified]
    return [
        tools.objects.copy(p.stored, "deidentified", f"{folder(work)}/preview/{Path(p.stored.key).name}")
        for p in shown
    ]
