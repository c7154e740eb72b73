"""What a tilted decoder is designed from, kept so that it can be designed again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jgc._plan import CodingPlan
from jgc.gradients import Gradients

if TYPE_CHECKING:
    from jgc.decoders._tilted.decoder import Tilted


@dataclass(frozen=True)
class Recipe:
    """Arguments of a design.

    Recipes of one kind are equal, so that a design for another similarity or law
    compiles nothing again; what `jit` returns has the recipe that it was traced with,
    as plans have their names.

    Attributes:
        constructor: called with a plan and the rest.
        name: in print.
        is_unbiased: as in `Decoder`.
        gradients: of the design, for its n partitions.
        options: further keyword arguments.
    """

    constructor: Callable[..., "Tilted"]
    name: str
    is_unbiased: bool
    gradients: Gradients
    options: tuple[tuple[str, Any], ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[object, ...]:
        return (self.constructor, self.name, self.is_unbiased)

    def design(self, plan: CodingPlan, **changed: Any) -> "Tilted":
        """The same for another plan, but for what is changed."""
        options = dict(self.options) | changed
        return self.constructor(plan, gradients=self.gradients, **options)
