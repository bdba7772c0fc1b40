"""The models by name. A fault of the catalogue names its model and has its settings as fields of the same names."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from emulator.errors import UsageError
from emulator.link.impairments.base import Impairment, Luck
from emulator.link.impairments.cuts import DataLimit, Down
from emulator.link.impairments.damage import BitErrors, Corrupt
from emulator.link.impairments.delay import Delay
from emulator.link.impairments.loss import BurstLoss, EveryNth, Listed, Loss, MarkovLoss
from emulator.link.impairments.match import Filter
from emulator.link.impairments.mtu import Mtu
from emulator.link.impairments.rate import Rate, SenderRate
from emulator.link.impairments.repeat import Duplicate, Reorder
from emulator.link.impairments.slots import Slots
from emulator.link.impairments.tunnels import EspFault, Labels

MODELS: Final[Mapping[str, Callable[..., Impairment]]] = MappingProxyType(
    {
        "delay": Delay,
        "loss": Loss,
        "burst-loss": BurstLoss,
        "markov-loss": MarkovLoss,
        "nth": EveryNth,
        "list": Listed,
        "filter": Filter,
        "duplicate": Duplicate,
        "reorder": Reorder,
        "corrupt": Corrupt,
        "bit-errors": BitErrors,
        "rate": Rate,
        "sender-rate": SenderRate,
        "slots": Slots,
        "mtu": Mtu,
        "down": Down,
        "data-limit": DataLimit,
        "esp": EspFault,
        "labels": Labels,
    }
)


def make(name: str, luck: Luck, settings: Mapping[str, Any]) -> Impairment:
    """The model of this name, new. Raises UsageError for a name or settings that it does not have: what a person wrote
    has been looked at before, by the catalogue of faults."""
    model = MODELS.get(name)
    if model is None:
        raise UsageError(f"there is no impairment {name!r}; one of {', '.join(MODELS)}")
    try:
        return model(luck, **settings)
    except TypeError as error:
        raise UsageError(f"impairment {name}: {error}") from error
