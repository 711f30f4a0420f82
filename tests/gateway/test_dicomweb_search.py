"""QIDO-RS: every way to match, at every level, in pages; what cannot be understood is refused with its reason."""

import json
import zlib

import pydicom
import pytest

from cases.indexed import IndexedInstance
from storage import readings
from tests.gateway.instances import at_partner_with, sample, tell, written
from tests.storage.filled import delivered, open_item

MOVED = {"00280303": {"vr": "CS", "Value": ["MODIFIED"]}}


def attribute(vr, *values):
    return {"vr": vr, "Value": list(values)}


def instance(
    study, series="1", number=1, *, modality="CT", name="Pseudonym^A", patient="P-1", date="20240105", **more
):
    """What is told of an instance that nobody needs to open."""
    told = {
        "00080020": attribute("DA", date), "00080030": attribute("TM", more.get("time", "101500.5")),
        "00080050": attribute("SH", more.get("accession", f"A-{study}")),
        "00100010": attribute("PN", {"Alphabetic": name}), "00100020": attribute("LO", patient),
        "00081030": attribute("LO", more.get("description", "HEAD")), "0020000D": attribute("UI", f"1.2.{study}"),
        **MOVED,
    }  # fmt: skip
    of_series = {
        "00080060": attribute("CS", modality), "0020000E": attribute("UI", f"1.2.{study}.{series}"),
        "00200011": attribute("IS", int(series)),
    }  # fmt: skip
    of_instance = {"00200013": attribute("IS", number)}
    everything = told | of_series | of_instance | {"00201041": attribute("DS", 12.5)}
    return IndexedInstance(
        name=f"dicom/{study}-{series}-{number}.dcm",
        size=1,
        study_uid=f"1.2.{study}",
        series_uid=f"1.2.{study}.{series}",
        sop_uid=f"1.2.{study}.{series}.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        study=told,
        series=of_series,
        instance=of_instance,
        metadata=zlib.compress(json.dumps(everything).encode()),
    )


def case_of(region, number, *told, partner="yinzhou2"):
    case_id = delivered(region, number=number, partner=partner)
    tell(region, case_id, told, [f"{case_id}/deliver/001/{i.name}" for i in told], partner)
    return case_id


@pytest.fixture
def four(region):
    """Four studies of three patients, the last with two series of three instances."""
    case_of(region, 1, instance(1, name="Li^Wei", patient="P-1", date="20240105"))
    case_of(
        region, 2, instance(2, name="Li^Weiwei", patient="P-1", date="20240220", modality="MR", time="235959")
    )
    case_of(
        region, 3, instance(3, name="Müller^Jörg", patient="Q_2", date="20240301", description="50% done")
    )
    case_of(
        region,
        4,
        instance(4, "1", 1, name="王^小东", patient="Q%3", date="20250101", time="0900", modality="PT"),
        instance(4, "2", 1, name="王^小东", patient="Q%3", date="20250101", time="0900"),
        instance(4, "2", 2, name="王^小东", patient="Q%3", date="20250101", time="0900"),
    )


@pytest.fixture
def lin(at_partner):
    return at_partner("lin")


def found(lin, query, at="studies"):
    """The last components of the UIDs that a search finds, in its order."""
    answer = lin.get(f"/dicomweb/{at}", params=query)
    assert answer.status_code in (200, 204), answer.text
    tag = {"studies": "0020000D", "series": "0020000E", "instances": "00080018"}[at.split("/")[-1]]
    return [told[tag]["Value"][0].removeprefix("1.2.") for told in answer.json()] if answer.content else []


# query | studies, the newest first
MATCHED = [
    ({}, "4321"),
    ({"StudyInstanceUID": "1.2.3"}, "3"),
    ({"StudyInstanceUID": "1.2.3,1.2.1"}, "31"),
    ({"0020000D": "1.2.3\\1.2.1,9.9"}, "31"),
    ({"0020000d": "1.2.2"}, "2"),
    ({"PatientID": "P-1"}, "21"),
    ({"PatientID": "p-1"}, ""),
    ({"PatientID": "P*"}, "21"),
    ({"PatientID": "?-1"}, "21"),
    ({"PatientID": "*"}, "4321"),
    ({"PatientID": ""}, "4321"),
    ({"PatientID": "Q_*"}, "3"),
    ({"PatientID": "Q%*"}, "4"),
    ({"StudyDescription": "*0%*"}, "3"),
    ({"PatientName": "li^wei"}, "1"),
    ({"PatientName": "LI^WEI*"}, "21"),
    ({"PatientName": "müller*"}, "3"),
    ({"PatientName": "王*"}, "4"),
    ({"PatientName": "?^小东"}, "4"),
    ({"PatientName": "wei", "fuzzymatching": "true"}, "21"),
    ({"PatientName": "wei", "fuzzymatching": "false"}, ""),
    ({"PatientName": "jorg mull", "fuzzymatching": "true"}, "3"),
    ({"PatientName": "小", "fuzzymatching": "true"}, "4"),
    ({"StudyDate": "20240220"}, "2"),
    ({"StudyDate": "20240105-20240220"}, "21"),
    ({"StudyDate": "20240220-"}, "432"),
    ({"StudyDate": "-20240220"}, "21"),
    ({"StudyTime": "1015"}, "31"),
    ({"StudyTime": "1000-1015"}, "31"),
    ({"StudyTime": "10:15:00-"}, "321"),
    ({"StudyTime": "0800-0930"}, "4"),
    ({"ModalitiesInStudy": "CT"}, "431"),
    ({"ModalitiesInStudy": "MR\\PT"}, "42"),
    ({"AccessionNumber": "A-3"}, "3"),
    ({"ModalitiesInStudy": "CT", "PatientID": "P-1"}, "1"),
    ({"limit": "2"}, "43"),
    ({"limit": "2", "offset": "1"}, "32"),
    ({"offset": "4"}, ""),
]


def test_studies_are_found_by_every_kind_of_match(four, lin):
    for query, expected in MATCHED:
        assert found(lin, query) == list(expected), query


def test_series_and_instances_are_found_within_and_across_studies(four, lin):
    assert found(lin, {}, "studies/1.2.4/series") == ["4.1", "4.2"]
    assert found(lin, {"Modality": "PT"}, "studies/1.2.4/series") == ["4.1"]
    assert found(lin, {"Modality": "CT"}, "series") == ["4.2", "3.1", "1.1"]
    assert found(lin, {"PatientID": "P-1"}, "series") == ["2.1", "1.1"]
    assert found(lin, {}, "studies/1.2.4/instances") == ["4.1.1", "4.2.1", "4.2.2"]
    assert found(lin, {"InstanceNumber": "2"}, "studies/1.2.4/series/1.2.4.2/instances") == ["4.2.2"]
    assert found(lin, {"Modality": "MR"}, "instances") == ["2.1.1"]
    assert found(lin, {"SOPInstanceUID": "1.2.4.2.2,1.2.1.1.1"}, "instances") == ["4.2.2", "1.1.1"]
    assert found(lin, {}, "studies/1.2.9/series") == []


def test_an_answer_holds_what_the_standard_requires_and_says_that_dates_are_moved(four, lin, partner_url):
    (study,) = lin.get("/dicomweb/studies", params={"StudyInstanceUID": "1.2.4"}).json()
    assert list(study) == sorted(study)
    assert study["00080061"]["Value"] == ["CT", "PT"]
    assert (study["00201206"]["Value"], study["00201208"]["Value"]) == ([2], [3])
    assert study["00081190"]["Value"] == [f"{partner_url}/dicomweb/studies/1.2.4"]
    assert study["00080056"]["Value"] == ["ONLINE"]
    assert study["00080090"] == {"vr": "PN"}
    (series,) = lin.get("/dicomweb/studies/1.2.4/series", params={"Modality": "CT"}).json()
    assert series["00201209"]["Value"] == [2]
    assert "00100010" not in series, "the address named the study"
    told = lin.get("/dicomweb/instances").json()
    assert all(t["00100010"] and t["00080060"] and t["00083002"] for t in told)
    for level in ("studies", "series", "instances", "studies/1.2.4/series", "studies/1.2.4/instances"):
        assert all(t["00280303"] == MOVED["00280303"] for t in lin.get(f"/dicomweb/{level}").json())


def test_fields_are_included_when_they_are_asked_for(four, lin):
    at = "/dicomweb/studies/1.2.4/instances"
    plain, *_ = lin.get(at).json()
    assert not {"00201041", "00100010"} & set(plain)
    for fields in ("SliceLocation,PatientName", "00201041,00100010", "all"):
        one, *_ = lin.get(at, params={"includefield": fields}).json()
        assert (one["00201041"]["Value"], "00100010" in one) == ([12.5], True), fields
    twice, *_ = lin.get(f"{at}?includefield=SliceLocation&includefield=PatientName").json()
    assert {"00201041", "00100010"} <= set(twice)


def test_what_is_left_out_and_what_dates_are_is_said_in_a_warning(four, lin):
    first = lin.get("/dicomweb/studies", params={"limit": 3})
    assert first.headers["warning"].startswith("299 ")
    assert "warning" not in lin.get("/dicomweb/studies", params={"limit": 3, "offset": 3}).headers
    for date in ("20240105", "19990101"):
        warned = lin.get("/dicomweb/studies", params={"StudyDate": date}).headers["warning"]
        assert "0028,0303" in warned


@pytest.mark.parametrize(
    ("at", "query"),
    [
        ("studies", "StudyDate=2024-01-05"),
        ("studies", "StudyDate=-"),
        ("studies", "StudyTime=noon"),
        ("studies", "limit=-1"),
        ("studies", "limit=many"),
        ("studies", "offset=1.5"),
        ("studies", "fuzzymatching=perhaps"),
        ("studies", "includefield=Nothing"),
        ("studies", "Nothing=1"),
        ("studies", "Rows=512"),
        ("studies", "Modality=CT"),
        ("series", "SOPInstanceUID=1.2"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_a_reason(lin, at, query):
    answer = lin.get(f"/dicomweb/{at}?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")
    assert answer.json()["problems"]


def test_a_refusal_repeats_nothing_that_was_sent(lin):
    answer = lin.get(
        "/dicomweb/studies", params={"戴诗琪": "x", "StudyDate": "330227197003041234", "limit": "Dai"}
    )
    assert answer.status_code == 400
    assert not any(sent in answer.text for sent in ("戴诗琪", "330227197003041234", "Dai"))


def test_nothing_found_is_an_answer_without_content(lin):
    answer = lin.get("/dicomweb/studies")
    assert (answer.status_code, answer.content) == (204, b"")
    assert lin.get("/dicomweb/studies", headers={"Accept": "application/dicom+xml"}).status_code == 406


def test_a_partner_finds_its_own_studies_while_a_work_item_gives_them(region, at_partner):
    ours = case_of(region, 1, instance(1))
    case_of(region, 2, instance(2), partner="beijing-pathology")
    lin, wang = at_partner("lin"), at_partner("wang")
    assert (found(lin, {}), found(wang, {})) == (["1"], ["2"])
    with region.transaction() as connection:
        readings.decline(connection, open_item(connection, ours).id, "lin", "not our field")
    assert (found(lin, {}), found(wang, {})) == ([], ["2"])


def test_a_study_that_came_with_two_cases_is_told_once_with_all_that_either_brought(region, lin):
    case_of(region, 1, instance(1, "1", 1), instance(1, "1", 2))
    newer = case_of(region, 2, instance(1, "1", 2), instance(1, "2", 1, modality="MR", patient="P-2"))
    (study,) = lin.get("/dicomweb/studies").json()
    assert (study["00201206"]["Value"], study["00201208"]["Value"]) == ([2], [3])
    assert study["00100020"]["Value"] == ["P-1"], "as the newest brought it"
    assert found(lin, {}, "studies/1.2.1/series") == ["1.1", "1.2"]
    assert sorted(found(lin, {}, "studies/1.2.1/instances")) == ["1.1.1", "1.1.2", "1.2.1"]
    with region.transaction() as connection:
        readings.decline(connection, open_item(connection, newer).id, "lin", "not our field")
    assert found(lin, {}, "studies/1.2.1/instances") == ["1.1.1", "1.1.2"]


def test_a_search_leaves_one_row_that_names_the_cases(region, lin):
    case_id = case_of(region, 1, instance(1))
    found(lin, {})
    with region.transaction() as connection:
        rows = connection.execute("SELECT note FROM audit_log WHERE action = 'images.search'").fetchall()
    assert [row["note"] for row in rows] == [case_id]


def test_a_real_file_is_found_by_its_own_attributes(region, s3, lin, tmp_path):
    changes = {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Wang^XiaoDong=王^小东"}
    path = written(tmp_path, "CT_small.dcm", **changes, AccessionNumber="7")
    at_partner_with(region, s3, [path, sample("MR_small.dcm")])
    stored = pydicom.dcmread(path)
    for query in ({"PatientName": "*=王^小东"}, {"AccessionNumber": "7"}, {"StudyDate": stored.StudyDate}):
        (study,) = lin.get("/dicomweb/studies", params=query).json()
        assert study["0020000D"]["Value"] == [stored.StudyInstanceUID]
    assert study["00100010"]["Value"] == [{"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小东"}]
