"""The network file: what the sample says, and what is said about a file that is wrong."""

from collections.abc import Callable

import pytest

from cases.network import Network, load
from cases.network_errors import NetworkInvalid
from cases.order import Priority
from cases.stages import PRIORITIES

Change = tuple[str, str]
Complaints = Callable[..., list[str]]

IMAGING = ("ct", "mr", "xray", "mammography", "ultrasound")


def test_the_sample_is_yinzhou_with_23_centres_and_two_pathology_partners(network: Network) -> None:
    centres = [o for o in network.clinics if o.roles == ("requesting",)]
    assert len(centres) == 23
    assert all("xray" in o.services for o in centres)
    assert [o.id for o in network.with_role("centre")] == ["yinzhou2"]
    assert network.organisation("yinzhou2").name_zh == "鄞州第二医院"
    assert {p.id for p in network.partners if "histology" in p.services} == {
        "beijing-pathology",
        "shanghai-pathology",
    }
    assert {network.organisation(p.id).city for p in network.partners} == {"Ningbo", "Beijing", "Shanghai"}


def test_pathology_is_asked_by_some_centres_and_by_hospitals_that_scan(network: Network) -> None:
    asking = [o for o in network.clinics if "histology" in o.services]
    scanning = network.with_role("scanning")
    assert 0 < len([o for o in asking if o not in scanning]) < 23
    assert 2 <= len(scanning) <= 3
    assert all(o.laboratory is not None for o in asking)
    assert all(network.station(o.id, "", "SM") is not None for o in scanning)


def test_every_clinic_has_equipment_for_each_imaging_service_it_asks(network: Network) -> None:
    for clinic in network.clinics:
        there = {s.modality for s in network.stations if s.clinic == clinic.id}
        for service in set(clinic.services) & set(IMAGING):
            assert there & set(network.service(service).modalities), (clinic.id, service)


@pytest.mark.parametrize("service", [*IMAGING, "histology", "frozen-section", "cytology", "ihc"])
@pytest.mark.parametrize("priority", PRIORITIES)
def test_every_service_and_priority_has_a_service_level(
    network: Network, service: str, priority: str
) -> None:
    assert network.service_level(service, priority).id != "everything-else"


@pytest.mark.parametrize(
    ("service", "priority", "within", "clock"),
    [
        ("frozen-section", "stat", "30m", "wall"),
        ("xray", "stat", "30m", "wall"),
        ("ct", "stat", "60m", "wall"),
        ("mr", "stat", "60m", "wall"),
        *((service, "routine", "4h", "working") for service in IMAGING),
        ("histology", "routine", "1d", "working"),
        ("cytology", "routine", "1d", "working"),
        ("ihc", "routine", "1d", "working"),
    ],
)
def test_the_promised_service_levels(
    network: Network, service: str, priority: str, within: str, clock: str
) -> None:
    level = network.service_level(service, priority)
    assert (level.within, level.clock) == (within, clock)


@pytest.mark.parametrize(
    ("service", "asked", "given"),
    [
        ("frozen-section", "routine", "stat"),
        ("frozen-section", "stat", "stat"),
        ("ct", "stat", "stat"),
        ("ct", "urgent", "urgent"),
        ("ct", "routine", "routine"),
    ],
)
def test_a_frozen_section_is_stat_whatever_the_order_says(
    network: Network, service: str, asked: Priority, given: Priority
) -> None:
    assert network.priority(service, asked) == given


def test_the_report_goes_to_the_requester_and_to_the_laboratory(network: Network) -> None:
    assert network.recipients("gulin", "histology") == ("gulin", "haishu2")
    assert network.recipients("gulin", "histology", "yinzhou3") == ("gulin", "yinzhou3")
    assert network.recipients("haishu2", "histology") == ("haishu2",)
    assert network.recipients("gulin", "ct") == ("gulin",)
    with pytest.raises(KeyError):
        network.recipients("gulin", "ct", "nobody")


def test_a_reading_policy_is_the_first_that_fits_else_one_reading(network: Network) -> None:
    assert network.reading_policy("ct", "routine", "diagnosis").mode == "primary"
    assert network.reading_policy("ct", "routine", "check").mode == "check"
    breast = network.reading_policy("mammography", "routine", "diagnosis")
    assert (breast.mode, breast.blinded) == ("double", True)


def test_a_clinic_may_request_its_own_services_only(network: Network) -> None:
    assert network.may_request("jiangshan", "mr")
    assert not network.may_request("longguan", "mr")
    assert not network.may_request("beijing-pathology", "histology")
    assert not network.may_request("nobody", "xray")


def test_a_station_is_found_by_its_name_else_as_the_only_one_of_its_modality(network: Network) -> None:
    named = network.station("jiangshan", "JIANGSHAN_CT1", "CT")
    assert named is not None
    assert named.id == "jiangshan-ct"
    assert network.station("jiangshan", "", "CT") == named
    assert network.station("jiangshan", "A_NEW_ONE", "CT") is None
    assert network.station("longguan", "JIANGSHAN_CT1", "CT") is None


def test_the_digest_is_that_of_the_meaning(
    sample_text: str, changed: Callable[..., Network], network: Network
) -> None:
    assert load("# another comment\n" + sample_text).digest == network.digest
    assert changed(("per_day = 60", "per_day = 61")).digest != network.digest


def test_a_network_cannot_be_changed_once_loaded(network: Network) -> None:
    with pytest.raises(ValueError, match="frozen"):
        network.name = "another"  # type: ignore[misc]


WRONG: list[tuple[str, list[Change], str]] = [
    (
        "a service that is none",
        [('services = ["histology", "frozen-section", "cytology"]\nsub', 'services = ["histolgy"]\nsub')],
        "partners[2].services[0] = 'histolgy': no such service; did you mean 'histology'?",
    ),
    (
        "a key that is none",
        [('phone = "010-88004001"', 'phone = "010-88004001"\nphonee = "1"')],
        "organisations[27].phonee = '1': no such key; did you mean 'phone'?",
    ),
    (
        "a key that is missing",
        [("capacity = { at_once = 40, per_day = 60 }", "capacity = { at_once = 40 }")],
        "partners[2].capacity.per_day: this key is required; add it (readings that it finishes in one working day)",
    ),
    (
        "a partner that is none",
        [('prefer = ["shanghai-pathology", "beijing-pathology"]', 'prefer = ["shanghai"]')],
        "rules[1].prefer[0] = 'shanghai': no such partner; did you mean 'shanghai-pathology'?",
    ),
    (
        "a number written as a text",
        [("per_day = 60", 'per_day = "sixty"')],
        "partners[2].capacity.per_day = 'sixty': not a whole number; write digits without quotation marks",
    ),
    (
        "a number too small",
        [("per_day = 60", "per_day = 0")],
        "partners[2].capacity.per_day = 0: too small; write 1 or more",
    ),
    (
        "a family that is none",
        [('family = "slides"', 'family = "slide"')],
        "services[5].family = 'slide': not a possible value; did you mean 'slides'?",
    ),
    (
        "hours over midnight",
        [("08:30-17:30", "22:00-06:00")],
        "partners[2].hours.weekdays = ['22:00-06:00']: the end comes before the start; write a night as two spans: "
        "'20:00-24:00' and '00:00-08:00'",
    ),
    (
        "a duration in words",
        [('within = "30m"', 'within = "30 minutes"')],
        "service_levels[0].within = '30 minutes': not written as it must be; '30m', '4h' or '1d' (in working time a "
        "day is one working day)",
    ),
    (
        "a time zone that is none",
        [("Asia/Shanghai", "Asia/Ningbo")],
        "time_zone = 'Asia/Ningbo': no such time zone; write an IANA name such as Asia/Shanghai",
    ),
    (
        "an id twice",
        [('id = "hengxi"', 'id = "jiangshan"')],
        "organisations[1].id = 'jiangshan': the id is taken by organisations[0]; choose another",
    ),
    (
        "a bucket twice",
        [('"partner-shanghai-pathology"', '"partner-beijing-pathology"')],
        "partners[2].bucket = 'partner-beijing-pathology': partners[1] has this bucket, and would read the other's "
        "cases; give each its own",
    ),
    (
        "a subspecialty that is lacking",
        [
            (
                '["pathology-histology", "pathology-frozen", "pathology-cytology"]',
                '["pathology-histology", "pathology-frozen"]',
            )
        ],
        "partners[2].services[2] = 'cytology': reading it needs the subspecialty 'pathology-cytology'; add it to "
        "partners[2].subspecialties or remove the service",
    ),
    (
        "a laboratory that does not scan",
        [('laboratory = "haishu2"', 'laboratory = "hengxi"')],
        "organisations[15].laboratory = 'hengxi': this organisation has not the role scanning; add it to "
        "organisations[1].roles or name another organisation",
    ),
    (
        "a reader at a clinic",
        [
            (
                'organisation = "jiangshan"\nrole = "clinic"',
                'organisation = "jiangshan"\nlicence = "1"\nrole = "reader"',
            )
        ],
        "accounts[0].organisation = 'jiangshan': this organisation has not the role reading; add it to "
        "organisations[0].roles or name another organisation",
    ),
    (
        "a reader without a licence",
        [('licence = "110330200000001"\n', "")],
        "accounts[4].licence: a reader signs reports under a licence; add its number",
    ),
    (
        "no service level for somebody",
        [
            ('id = "everything-else"\n', 'id = "everything-else"\nservices = ["ct"]\n'),
            (
                'services = ["histology", "cytology", "ihc"]\nwithin = "1d"',
                'services = ["histology", "cytology"]\nwithin = "1d"',
            ),
        ],
        "service_levels: none for service 'ihc' with priority 'routine'; add one, or a last row that names neither "
        "services nor priorities",
    ),
    (
        "no rule for somebody",
        [('id = "whoever-can"\n', 'id = "whoever-can"\nservices = ["ct"]\n')],
        "rules: a case may match none of them; add a last rule without conditions",
    ),
    (
        "weights that do not fit",
        [("weights = [3, 2]", "weights = [3]")],
        "rules[6].weights = [3]: there are 2 preferred partners; give one weight for each, or none",
    ),
    (
        "a service that nobody else reads",
        [
            (
                'services = ["histology", "frozen-section", "cytology", "ihc"]\nsub',
                'services = ["histology"]\nsub',
            )
        ],
        "organisations[23].services[3] = 'ihc': no other organisation reads it; add it to the services of a partner, "
        "or remove it here",
    ),
    (
        "a service that only the requester itself reads",
        [
            (
                'roles = ["centre", "reading"]',
                'roles = ["centre", "reading", "requesting"]\nservices = ["mammography"]',
            )
        ],
        "organisations[26].services[0] = 'mammography': no other organisation reads it; add it to the services of a "
        "partner, or remove it here",
    ),
    (
        "a partner that never reads",
        [('hours = { weekdays = ["08:30-17:30"], saturday = ["08:30-12:00"] }', "hours = {}")],
        "partners[2].hours: it never reads; give weekdays = ['08:00-17:00']",
    ),
    (
        "a reading organisation without terms",
        [('roles = ["requesting", "scanning"]', 'roles = ["requesting", "scanning", "reading"]')],
        "organisations[23].roles = ['requesting', 'scanning', 'reading']: reads, but is no partner; add [[partners]] "
        "with id = 'yinzhou-people', or remove the role",
    ),
    (
        "an impossible age",
        [("age_below = 14", "age_below = 14\nage_from = 60")],
        "rules[3].age_below = 14: nobody is younger than 14 and from 60 on; exchange the two",
    ),
    (
        "two stations of one name",
        [('station_name = "JIANGSHAN_US1"', 'station_name = "JIANGSHAN_DX1"')],
        "stations[1].station_name = 'JIANGSHAN_DX1': stations[0] of the same clinic has this name; give each its own",
    ),
    (
        "two clinics that are called alike",
        [('id = "hengxi"\n', 'id = "hengxi"\nae_title = "TELEDX-JIANGSHAN"\n')],
        "organisations[1].ae_title = 'TELEDX-JIANGSHAN': organisations[0] is called by it, too; give each its own",
    ),
    (
        "nobody who runs it",
        [('roles = ["centre", "reading"]', 'roles = ["reading"]')],
        "organisations: none of them runs the network; give one of them the role centre",
    ),
]


@pytest.mark.parametrize(("changes", "complaint"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_wrong_file_is_told_key_value_and_remedy(
    complaints: Complaints, changes: list[Change], complaint: str
) -> None:
    assert complaint in complaints(*changes)


def test_everything_wrong_is_told_at_once(complaints: Complaints) -> None:
    told = complaints(
        ("per_day = 60", "per_day = 0"),
        ("per_day = 90", "per_day = -1"),
        ('family = "slides"', 'family = "x"'),
    )
    assert len(told) == 3


def test_a_file_that_is_not_toml_is_told_the_line() -> None:
    with pytest.raises(NetworkInvalid, match=r"not TOML; correct it: .*line 1"):
        load("version = ]")


def test_an_empty_file_is_told_every_key_that_it_needs() -> None:
    with pytest.raises(NetworkInvalid) as caught:
        load("")
    assert {p.key for p in caught.value.problems} >= {
        "version",
        "organisations",
        "services",
        "partners",
        "rules",
    }
