"""The device models that come with the project, by name.

This is what the entry point `smets1.devices` names. Another distribution may ship a mapping of its own under the same
entry point group; `emulator.fleet.registry` puts them together. A new model of a kind that exists is a profile and a
line here.
"""

from collections.abc import Mapping
from typing import Final

from devices.common.model import Builder, DeviceModel
from devices.common.profile import shipped
from devices.electricity.model import ElectricityMeter
from devices.gas.model import GasMeter
from devices.hub.model import CommunicationsHub
from devices.ihd.model import Display
from emulator.kernel.machine import Party

KINDS: Final[Mapping[Party, Builder]] = {
    Party.HUB: CommunicationsHub,
    Party.ELECTRICITY: ElectricityMeter,
    Party.GAS: GasMeter,
    Party.IHD: Display,
}

NAMES: Final = (
    *("elster_as300p", "elster_as300p_5t", "elster_as300p_5t_own", "elster_bk_g4", "elster_hub", "elster_ihd"),
    *("itron_e", "itron_g"),
)


def model(name: str) -> DeviceModel:
    """The model of a shipped profile."""
    profile = shipped(name)
    return DeviceModel(profile, KINDS[profile.party])


MODELS: Final[Mapping[str, DeviceModel]] = {name: model(name) for name in NAMES}
