"""What preparing a split kept, changed and left out, and why."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

#: Every reason for which something is left out or changed, as a user reads it.
REASONS = {
    "missing_image": "images listed whose file is missing (skipped)",
    "unreadable_image": "images whose file cannot be read (skipped)",
    "outside_folder": "images whose file lies outside the data folder (skipped)",
    "corrupt_image": "images that can't be decoded (skipped)",
    "size_mismatch": "images whose size isn't the one listed (skipped)",
    "annotation_of_skipped_image": "annotations of skipped images (skipped)",
    "annotation_without_image": "annotations of images not listed (skipped)",
    "unknown_category": "annotations of categories not listed (skipped)",
    "unknown_crowd": "annotations whose iscrowd is neither 0 nor 1 (skipped)",
    "degenerate_box": "boxes without a positive finite size (skipped)",
    "box_outside_image": "boxes that lie outside their image (skipped)",
    "clipped_box": "boxes clipped to their image (kept)",
}
_FIRST, _LONGEST_NAME = 5, 60


@dataclass
class Issue:
    """How often one thing happened.

    Attributes:
        count: number of images or annotations.
        first: file names of the first few images in which it happened, shortened.
    """

    count: int = 0
    first: list[str] = field(default_factory=list)


@dataclass
class SplitReport:
    """What one split holds, and what was skipped or changed on the way.

    Attributes:
        images: images kept, negatives included.
        negatives: images kept without any annotation.
        annotations: annotations kept, crowds included.
        crowds: crowd annotations kept.
        most_objects: the most annotations kept of one image.
        issues: by reason (the keys of `REASONS`); a reason that never occurred is
            absent.
    """

    images: int = 0
    negatives: int = 0
    annotations: int = 0
    crowds: int = 0
    most_objects: int = 0
    issues: dict[str, Issue] = field(default_factory=dict)

    def note(self, reason: str, file_name: str, *, count: int = 1) -> None:
        """Counts `reason` (a key of `REASONS`) for the image `file_name`."""
        if reason not in REASONS:
            raise ValueError(f"reason={reason!r} must be one of {sorted(REASONS)}")
        issue = self.issues.setdefault(reason, Issue())
        issue.count += count
        shown = _printable(file_name)
        if len(issue.first) < _FIRST and shown not in issue.first:
            issue.first.append(shown)

    def count(self, reason: str) -> int:
        """Returns how often `reason` (a key of `REASONS`) occurred."""
        if reason not in REASONS:
            raise ValueError(f"reason={reason!r} must be one of {sorted(REASONS)}")
        return self.issues[reason].count if reason in self.issues else 0

    def warnings(self) -> list[str]:
        """Returns one line for each reason that occurred."""
        return [
            f"{issue.count} {REASONS[reason]}; first: {', '.join(issue.first)}"
            for reason, issue in self.issues.items()
        ]

    def to_json(self) -> dict[str, Any]:
        """Returns the report as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "SplitReport":
        """Restores a report from what `to_json` returned."""
        issues = {reason: Issue(**issue) for reason, issue in value["issues"].items()}
        return cls(**{**value, "issues": issues})


def _printable(file_name: str) -> str:
    """A file's name in one line of text, whatever it holds."""
    shown = file_name if file_name.isprintable() else ascii(file_name)
    short = shown[: _LONGEST_NAME - 1] + "…"
    return shown if len(shown) <= _LONGEST_NAME else short
