from dataclasses import replace
from pathlib import Path

import pytest
from fake_link import FakeLink

from gui.viewmodels.first_run import FirstRunViewModel
from gui.viewmodels.first_run_choice import Chosen, Way, address_problem, changes_of
from gui.viewmodels.first_run_words import devices_of
from gui.viewmodels.settings import SettingsViewModel
from gui.worker_link import Connection
from volunteer.errors import UserError
from volunteer.hardware import AppleGpu, Disk, Gpu, Hardware, Memory, Processor
from volunteer.private_swarms import create_swarm, load_swarm
from volunteer.settings import Settings, load_settings, settings_file
from volunteer.swarm.swarm_key import write_invitation

GIB = 2**30
ADDRESS = "/ip4/203.0.113.7/tcp/31337/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
PROCESSOR = Hardware(Processor("Ryzen", 8, 16), Memory(32 * GIB, 20 * GIB), disk=Disk(10**12, 2 * 10**11))
CARD = Gpu(0, "RTX 3060", total_bytes=12 * GIB, free_bytes=11 * GIB, power_w=20, power_limit_w=170)
SMALL = Gpu(1, "GT 710", total_bytes=GIB, problem="This GPU has 0.9 GB of memory, too little to hold blocks.")
DEFAULTS = Settings()
WITH_GPUS = replace(PROCESSOR, gpus=(CARD, SMALL))


@pytest.fixture
def off(tmp_path: Path, qapp) -> FakeLink:
    return FakeLink(tmp_path / "data", connection=Connection.OFF)


def _first_run(link: FakeLink, found: Hardware = WITH_GPUS, settings: Settings = DEFAULTS) -> FirstRunViewModel:
    view_model = SettingsViewModel(link, settings, link)
    return FirstRunViewModel(link, view_model, link, detect=lambda data_dir: found)


def _at_hardware(link: FakeLink, found: Hardware = WITH_GPUS, settings: Settings = DEFAULTS) -> FirstRunViewModel:
    first_run = _first_run(link, found, settings)
    first_run.go_on()
    return first_run


def _plain(text: str) -> str:
    return text.replace("\u202f", " ")


def test_nothing_is_looked_at_or_written_before_it_is_wanted(off):
    first_run = _first_run(off)
    assert first_run.options == ()
    assert not off.data_dir.exists()
    assert off.starts == 0


def test_back_leads_through_the_same_pages(off):
    first_run = _first_run(off)
    first_run.go_on()
    first_run.choose_way(Way.NEW)
    first_run.go_on()
    assert first_run.page == 2
    first_run.go_back()
    assert (first_run.page, first_run.chosen.way) == (1, Way.NEW)
    first_run.go_back()
    first_run.go_back()
    assert first_run.page == 0


def test_every_gpu_is_told_what_it_can_hold_or_why_not(off):
    first_run = _at_hardware(off)
    card, small, processor = first_run.devices
    assert (card.name, _plain(card.detail)) == ("RTX 3060", "11.0 of 12.0 GB free")
    assert card.verdict.startswith("Can hold ")
    assert card.verdict.endswith(" of the 70 blocks of BLOOM")
    assert (small.verdict, small.can_hold) == ("This GPU has 0.9 GB of memory, too little to hold blocks.", False)
    assert processor.verdict == "Not needed: the GPU is faster"


def test_a_second_gpu_and_a_missing_driver_are_told_apart(off):
    second = replace(CARD, index=1, total_bytes=8 * GIB)
    verdicts = [device.verdict for device in devices_of(replace(PROCESSOR, gpus=(second, CARD)), None, None)]
    assert verdicts[:2] == ["Not used: a worker computes on one GPU", "Will be used"]
    without = replace(PROCESSOR, gpu_problem="No NVIDIA driver was found.")
    names = [(device.name, device.verdict) for device in devices_of(without, None, None)]
    assert names == [("Graphics card", "No NVIDIA driver was found."), ("Ryzen", "Will be used")]


def test_an_apple_gpu_is_what_computes(off):
    apple = replace(PROCESSOR, apple_gpu=AppleGpu("Apple M2", 16 * GIB, 10 * GIB))
    assert [device.can_hold for device in devices_of(apple, None, None)] == [True, False]


def test_the_first_model_that_fits_is_suggested(off):
    assert _at_hardware(off).chosen.model == "bigscience/bloom"
    tiny = replace(PROCESSOR, memory=Memory(8 * GIB, 4 * GIB))
    first_run = _at_hardware(FakeLink(off.data_dir, connection=Connection.OFF), tiny)
    chosen = next(option for option in first_run.options if option.hub_name == first_run.chosen.model)
    assert not chosen.problem
    assert first_run.options[0].problem


def test_the_forecast_names_blocks_gigabytes_minutes_and_watts(off):
    rows = {row.label: row for row in _at_hardware(off).rows}
    assert rows["Blocks"].value.endswith(" of 70")
    assert _plain(rows["Download"].value).endswith(" GB")
    assert _plain(rows["Download"].note).startswith("about ")
    assert _plain(rows["Disk"].note) == "200 GB are free"
    assert _plain(rows["Power"].value) == "150 W"


def test_power_that_is_not_told_is_said_to_be_so(off):
    rows = {row.label: row for row in _at_hardware(off, PROCESSOR).rows}
    assert rows["Power"].value == "–"


def test_a_smaller_share_holds_fewer_blocks(off):
    first_run = _at_hardware(off)
    first_run.choose_model("bigscience/bloom-7b1")
    assert first_run.memory_in_words == "All that other programs leave free"
    before = first_run.rows[0].value
    first_run.choose_share(0.4)
    assert _plain(first_run.memory_in_words) == "At most 4.8 GB of 12.0 GB"
    assert int(first_run.rows[0].value.split()[0]) < int(before.split()[0])


def test_one_cannot_go_on_with_what_does_not_fit(off):
    first_run = _at_hardware(off)
    first_run.choose_way(Way.NEW)
    assert first_run.can_go_on
    first_run.choose_share(0.1)
    assert first_run.forecast_problem
    assert not first_run.can_go_on


def test_one_cannot_go_on_without_a_swarm(off):
    first_run = _at_hardware(off)
    assert not first_run.can_go_on
    assert first_run.hint
    first_run.type_address(f" {ADDRESS} ")
    assert first_run.can_go_on
    assert first_run.hint == ""
    assert not first_run.is_private


@pytest.mark.parametrize("address", ["hello", "/ip4/203.0.113.7/tcp/31337", f"{ADDRESS}, there", "petals-swarm:abc"])
def test_what_leads_nowhere_is_refused(address):
    assert address_problem(address)


def test_several_addresses_can_be_given():
    assert address_problem(f"{ADDRESS}, {ADDRESS}") == ""


def test_an_invitation_brings_its_model_and_says_what_it_is(off, tmp_path):
    swarm = create_swarm(tmp_path / "other", "lab", model="bigscience/bloom-560m", revision=None, dht_prefix=None)
    first_run = _at_hardware(off)
    first_run.type_address(write_invitation(swarm))
    assert first_run.chosen.model == "bigscience/bloom-560m"
    assert first_run.way_note == "An invitation to lab, which serves bloom-560m."
    assert first_run.is_private
    assert first_run.can_go_on


def test_consent_saves_the_choice_and_is_told_once(off, qtbot):
    first_run = _at_hardware(off)
    first_run.choose_model("bigscience/bloom-7b1")
    first_run.choose_share(0.5)
    first_run.type_address(ADDRESS)
    first_run.go_on()
    assert not settings_file(off.data_dir).exists()
    told: list[bool] = []
    first_run.consented.connect(lambda: told.append(True))
    first_run.consent()
    saved = load_settings(off.data_dir).settings
    assert saved.app.consented
    assert saved.serving.model == "bigscience/bloom-7b1"
    assert saved.serving.initial_peers == (ADDRESS,)
    assert saved.limits.vram_gb == 6.0
    assert saved.limits.ram_gb is None
    assert told == [True]


def test_consent_to_an_invitation_joins_its_swarm(off, tmp_path):
    swarm = create_swarm(tmp_path / "other", "lab", model="bigscience/bloom-560m", revision=None, dht_prefix=None)
    first_run = _at_hardware(off)
    first_run.type_address(write_invitation(swarm))
    first_run.go_on()
    first_run.consent()
    saved = load_settings(off.data_dir).settings
    assert (saved.serving.private_swarm, saved.serving.model) == ("lab", "bigscience/bloom-560m")
    assert saved.serving.initial_peers == ()
    assert load_swarm(off.data_dir, "lab").swarm_id == swarm.swarm_id


def test_where_the_consent_cannot_be_saved_nothing_starts_at_login_either(off):
    first_run = _at_hardware(off)
    switched: list[bool] = []
    first_run.autostart.switch = switched.append
    first_run.choose_way(Way.NEW)
    first_run.go_on()
    first_run.choose_autostart(True)
    off.data_dir.parent.mkdir(parents=True, exist_ok=True)
    off.data_dir.write_text("a file where the folder should be")
    first_run.consent()
    assert first_run.problem
    assert switched == []
    assert not first_run.is_saving
    assert first_run.can_go_on


def test_a_share_of_the_processors_memory_is_a_limit_of_memory():
    changes = changes_of(Chosen("bigscience/bloom", 0.25, Way.NEW), 32 * GIB, has_gpu=False)
    assert (changes["limits.ram_gb"], changes["limits.vram_gb"]) == ("8.0", None)
    assert changes["serving.new_swarm"] == "true"


def test_all_of_the_memory_is_no_limit():
    changes = changes_of(Chosen("bigscience/bloom", 1.0, Way.NEW), 32 * GIB, has_gpu=True)
    assert changes["limits.vram_gb"] is None


def test_what_was_chosen_without_a_window_is_kept(off):
    base = Settings()
    serving = replace(base.serving, model="facebook/opt-125m", private_swarm="lab", initial_peers=(ADDRESS,))
    first_run = _at_hardware(off, settings=replace(base, serving=serving))
    assert first_run.chosen.way is Way.STAY
    assert first_run.options[0].name == "opt-125m"
    assert first_run.can_go_on
    assert first_run.is_private
    changes = changes_of(first_run.chosen, None, has_gpu=False)
    assert changes["serving.model"] == "facebook/opt-125m"
    assert "serving.private_swarm" not in changes


def test_a_look_that_fails_can_be_repeated(off):
    answers: list[Hardware] = []

    def detect(data_dir: Path) -> Hardware:
        if not answers:
            answers.append(PROCESSOR)
            raise UserError("The disk does not answer.")
        return answers[0]

    first_run = FirstRunViewModel(off, SettingsViewModel(off, Settings(), off), off, detect=detect)
    first_run.go_on()
    assert first_run.problem == "The disk does not answer."
    assert not first_run.can_go_on
    first_run.look()
    assert first_run.problem == ""
    assert first_run.options


def test_autostart_is_off_until_it_is_switched_on(off):
    first_run = _first_run(off)
    switched: list[bool] = []
    first_run.autostart.switch = switched.append  # type: ignore[method-assign]
    first_run.go_on()
    first_run.choose_way(Way.NEW)
    first_run.go_on()
    assert first_run.autostart.state is not None
    assert not first_run.chosen.starts_at_login
    first_run.choose_autostart(True)
    assert switched == []
    first_run.consent()
    assert switched == [True]
