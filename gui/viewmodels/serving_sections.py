"""The words for the settings of serving: what, within which limits, with how much of the machine, by which ways."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

from gui.viewmodels.setting_forms import Choice, Control, FieldForm, GroupForm, SectionForm

translate = QCoreApplication.translate


def serving() -> SectionForm:
    what = GroupForm(
        translate("Settings", "What to serve"),
        (
            FieldForm(
                "serving.model",
                Control.SUGGESTED,
                translate("Settings", "Model"),
                translate("Settings", "A name on the Hugging Face Hub, or a folder of this computer."),
                none=translate("Settings", "The small practice model"),
                placeholder="bigscience/bloom-560m",
            ),
            FieldForm(
                "serving.num_blocks",
                Control.NUMBER,
                translate("Settings", "How many blocks"),
                translate("Settings", "Those that the swarm needs most."),
                none=translate("Settings", "As many as fit"),
                suggested=4,
            ),
            FieldForm(
                "serving.blocks",
                Control.TEXT,
                translate("Settings", "Which blocks"),
                translate(
                    "Settings", "If you want to say it yourself. The swarm then cannot move you where it is weak."
                ),
                none=translate("Settings", "Where the swarm is weakest"),
                placeholder="0–11",
            ),
            FieldForm(
                "serving.public_name",
                Control.TEXT,
                translate("Settings", "Public name"),
                translate("Settings", "Shown to everybody in lists of servers."),
                none=translate("Settings", "Without a name"),
                placeholder=translate("Settings", "Anna's old gaming PC"),
            ),
        ),
    )
    how = GroupForm(
        translate("Settings", "How to compute"),
        (
            FieldForm(
                "serving.device",
                Control.CHOICE,
                translate("Settings", "Device"),
                more_words=translate("Settings", "graphics card GPU processor CUDA"),
            ),
            FieldForm(
                "serving.quantization",
                Control.CHOICE,
                translate("Settings", "Weights"),
                translate("Settings", "Smaller numbers take less memory and are a little less exact."),
                choices=(
                    Choice(None, translate("Settings", "As the worker finds best")),
                    Choice("int8", translate("Settings", "8 bits (int8)")),
                    Choice("nf4", translate("Settings", "4 bits (NF4)")),
                ),
                more_words=translate("Settings", "quantization"),
            ),
            FieldForm(
                "serving.dtype",
                Control.CHOICE,
                translate("Settings", "Number format"),
                translate("Settings", "Of what is computed with, and of weights that are not made smaller."),
                choices=(
                    Choice(None, translate("Settings", "As the worker finds best")),
                    Choice("float32", translate("Settings", "32 bits (float32)")),
                    Choice("bfloat16", translate("Settings", "16 bits (bfloat16)")),
                    Choice("float16", translate("Settings", "16 bits (float16)")),
                ),
                more_words="dtype",
            ),
        ),
    )
    fine = GroupForm(
        translate("Settings", "For those who know"),
        (
            FieldForm(
                "serving.kv_tokens",
                Control.NUMBER,
                translate("Settings", "Room for chats"),
                translate("Settings", "So many tokens of all open chats together. More room takes more memory."),
                unit=translate("Settings", "tokens"),
                none=translate("Settings", "As it comes"),
                suggested=8192,
                step=1024,
            ),
            FieldForm(
                "serving.session_idle_s",
                Control.NUMBER,
                translate("Settings", "A silent chat gives its room back after"),
                unit="s",
                none=translate("Settings", "As it comes"),
                suggested=120,
                step=10,
            ),
            FieldForm(
                "serving.revision",
                Control.TEXT,
                translate("Settings", "Revision of the model"),
                translate("Settings", "A branch, tag or commit of its repository."),
                none=translate("Settings", "The newest"),
                placeholder="main",
            ),
            FieldForm(
                "serving.dht_prefix",
                Control.TEXT,
                translate("Settings", "Name of the model in the swarm"),
                translate("Settings", "Under which its blocks are announced, where that is another than usual."),
                none=translate("Settings", "As everybody calls it"),
                placeholder="bloom-560m-petals",
            ),
            FieldForm(
                "serving.identity_file",
                Control.TEXT,
                translate("Settings", "Identity file"),
                translate("Settings", "The private key of this peer. It is made if it is missing."),
                none=translate("Settings", "In the data folder"),
                placeholder="~/petals/identity.key",
            ),
        ),
    )
    text = translate("Settings", "What you change here lets running chats end; then the worker begins anew.")
    return SectionForm("serving", translate("Settings", "Serving"), text, (what, how, fine))


def limits() -> SectionForm:
    away = GroupForm(
        translate("Settings", "While you use the computer"),
        (
            FieldForm(
                "limits.only_when_idle",
                Control.SWITCH,
                translate("Settings", "Serve only while nobody uses this computer"),
            ),
            FieldForm(
                "limits.idle_minutes",
                Control.NUMBER,
                translate("Settings", "It counts as unused after"),
                translate("Settings", "Without a key or a movement of the mouse."),
                unit="min",
                needs="limits.only_when_idle",
            ),
            FieldForm(
                "limits.exclusive_programs",
                Control.LIST,
                translate("Settings", "Pause while one of these programs runs"),
                translate("Settings", "Games and others that want the graphics card for themselves."),
                placeholder="steam",
                more_words=translate("Settings", "games"),
            ),
            FieldForm(
                "limits.pause_in_full_screen",
                Control.SWITCH,
                translate("Settings", "Pause while an app fills the screen"),
            ),
            FieldForm(
                "limits.max_others_cpu_percent",
                Control.NUMBER,
                translate("Settings", "Pause while other programs use more of the processor than"),
                unit="%",
                none=translate("Settings", "No limit"),
                suggested=50,
                step=5,
            ),
        ),
    )
    battery = GroupForm(
        translate("Settings", "On battery"),
        (
            FieldForm(
                "limits.serve_on_battery",
                Control.SWITCH,
                translate("Settings", "Serve while a laptop runs on its battery"),
            ),
            FieldForm(
                "limits.min_charge_percent",
                Control.NUMBER,
                translate("Settings", "Pause below a charge of"),
                unit="%",
                step=5,
                needs="limits.serve_on_battery",
            ),
        ),
    )
    heat = GroupForm(
        translate("Settings", "Heat"),
        (
            FieldForm(
                "limits.max_gpu_temperature_c",
                Control.NUMBER,
                translate("Settings", "Pause when the graphics card is as hot as"),
                unit="°C",
                none=translate("Settings", "No limit"),
                suggested=83,
                more_words=translate("Settings", "temperature"),
            ),
            FieldForm(
                "limits.gpu_cooling_c",
                Control.NUMBER,
                translate("Settings", "Go on when it has cooled down by"),
                unit="°C",
                needs="limits.max_gpu_temperature_c",
            ),
        ),
    )
    text = translate("Settings", "Whenever one of these holds the worker back, the home page says which.")
    return SectionForm("limits", translate("Settings", "Limits"), text, (away, battery, heat))


def machine() -> SectionForm:
    most = translate("Settings", "No limit")
    memory = GroupForm(
        translate("Settings", "Memory"),
        (
            FieldForm(
                "limits.ram_gb",
                Control.NUMBER,
                translate("Settings", "Memory to take at most"),
                unit="GB",
                none=most,
                suggested=4,
                decimals=1,
                more_words="RAM",
            ),
            FieldForm(
                "limits.vram_gb",
                Control.NUMBER,
                translate("Settings", "Memory of the graphics card to take at most"),
                unit="GB",
                none=most,
                suggested=6,
                decimals=1,
                more_words="VRAM GPU",
            ),
        ),
    )
    disk = GroupForm(
        translate("Settings", "Disk"),
        (
            FieldForm(
                "limits.disk_gb",
                Control.NUMBER,
                translate("Settings", "Room for blocks on the disk"),
                translate("Settings", "Blocks that were not used for longest go first."),
                unit="GB",
                none=most,
                suggested=50,
                step=5,
                decimals=1,
            ),
        ),
    )
    processor = GroupForm(
        translate("Settings", "Processor"),
        (
            FieldForm(
                "limits.threads",
                Control.NUMBER,
                translate("Settings", "Threads to compute with"),
                none=translate("Settings", "As many as there are"),
                suggested=2,
                more_words=translate("Settings", "cores CPU"),
            ),
            FieldForm(
                "limits.nice",
                Control.NUMBER,
                translate("Settings", "Stand back for other programs"),
                translate("Settings", "0 is like any program, 19 is last in the queue."),
                more_words="nice priority",
            ),
        ),
    )
    return SectionForm("machine", translate("Settings", "Disk and memory"), "", (memory, disk, processor))


def network() -> SectionForm:
    most = translate("Settings", "No limit")
    upload = GroupForm(
        translate("Settings", "What is sent"),
        (
            FieldForm(
                "limits.upload_mbit_per_s",
                Control.NUMBER,
                translate("Settings", "Send at most"),
                unit="Mbit/s",
                none=most,
                suggested=10,
                decimals=1,
                more_words=translate("Settings", "upload bandwidth rate"),
            ),
            FieldForm(
                "limits.upload_gb_per_day",
                Control.NUMBER,
                translate("Settings", "Pause for the rest of the day after sending"),
                unit="GB",
                none=most,
                suggested=5,
                decimals=1,
                more_words=translate("Settings", "upload cap quota"),
            ),
        ),
    )
    who = GroupForm(
        translate("Settings", "Whom to have to do with"),
        (
            FieldForm(
                "swarm.deny_peers",
                Control.LIST,
                translate("Settings", "Never these"),
                translate("Settings", "Peer ids or accounts, neither to serve nor to ask."),
                placeholder="12D3KooW…",
                more_words=translate("Settings", "deny block list"),
            ),
            FieldForm(
                "swarm.allow_peers",
                Control.LIST,
                translate("Settings", "Only these"),
                translate("Settings", "Peer ids or accounts. While there is none here, everybody is welcome."),
                placeholder="12D3KooW…",
                more_words=translate("Settings", "allow list"),
            ),
        ),
    )
    ways = GroupForm(
        translate("Settings", "Ways into the swarm"),
        (
            FieldForm(
                "serving.initial_peers",
                Control.LIST,
                translate("Settings", "Peers to join through"),
                translate("Settings", "Their multiaddresses, as a started node prints them."),
                placeholder="/ip4/…/tcp/31330/p2p/12D3KooW…",
                more_words=translate("Settings", "bootstrap"),
            ),
            FieldForm(
                "serving.new_swarm",
                Control.SWITCH,
                translate("Settings", "Start a swarm if there is none to join"),
            ),
            FieldForm(
                "serving.private_swarm",
                Control.CHOICE,
                translate("Settings", "Private swarm"),
                translate("Settings", "Those that you made or joined on the Swarm page."),
            ),
            FieldForm(
                "serving.host_maddrs",
                Control.LIST,
                translate("Settings", "Listen at"),
                translate("Settings", "While there is none here, at all addresses of this computer and any free port."),
                placeholder="/ip4/0.0.0.0/tcp/31330",
                more_words="port",
            ),
            FieldForm(
                "serving.announce_maddrs",
                Control.LIST,
                translate("Settings", "Others reach me at"),
                translate("Settings", "For a router that hands a port on to this computer."),
                placeholder="/ip4/…/tcp/31330",
                more_words=translate("Settings", "port forwarding"),
            ),
        ),
    )
    return SectionForm("network", translate("Settings", "Network"), "", (upload, who, ways))
