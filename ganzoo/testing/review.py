"""A plugin under review: every component held to the contracts,
and what was found as plain values and as text to read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..components.loading import Plugin, Zoo
from ..components.registry import Component
from ..errors import UnknownComponent, nearest, plain_line, shown
from . import Finding, findings

WIDTH = len("does not apply")  # of the longest outcome


@dataclass
class Subject:
    """What is reviewed: plugins as a whole, or components of theirs."""

    plugins: list[Plugin]
    components: list[Component]

    @property
    def broken(self) -> list[Plugin]:
        return [plugin for plugin in self.plugins if plugin.broken]


@dataclass
class Review:
    """Components and what each check found of them."""

    subject: Subject
    found: list[tuple[Component, list[Finding]]] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every plugin loads and no check fails."""
        every = [finding for _, group in self.found for finding in group]
        return not self.subject.broken and not any(
            finding.outcome == "does not hold" for finding in every
        )

    def run(self, **settings: Any) -> Iterator[Finding]:
        """Every check of every component in turn; `found`
        grows with them. settings: see `findings`.
        """
        for component in self.subject.components:
            group: list[Finding] = []
            self.found.append((component, group))
            for finding in findings(component, **settings):
                group.append(finding)
                yield finding

    def plain(self) -> dict[str, Any]:
        """The review as JSON can hold it."""
        return {
            "holds": self.holds,
            "plugins": [
                {
                    "plugin": p.name,
                    "distribution": p.distribution,
                    "version": p.version,
                    "broken": p.broken or None,
                }
                for p in self.subject.plugins
            ],
            "components": [
                {
                    "kind": component.kind,
                    "name": component.name,
                    "plugin": component.plugin,
                    "distribution": component.distribution,
                    "version": component.version,
                    "checks": [
                        {
                            "check": f.check,
                            "outcome": f.outcome,
                            "found": plain_line(f.found),
                            "fix": plain_line(f.fix) or None,
                        }
                        for f in group
                    ],
                }
                for component, group in self.found
            ],
        }


def subject_of(zoo: Zoo, name: str) -> Subject:
    """What a name means: a distribution, an entry point
    (`losses`, `ganzoo:losses`), or a component (`ganzoo/hinge`).

    Raises UnknownComponent, with the nearest name, when it is none of these.
    """
    plugins = [p for p in zoo.plugins if name in (p.distribution, p.who)] or [
        p for p in zoo.plugins if name == p.name
    ]
    if plugins:
        components = [
            c
            for c in zoo.registry.components()
            if any((c.distribution, c.plugin) == (p.distribution, p.name) for p in plugins)
        ]
        return Subject(plugins, components)
    owner, _, bare = name.rpartition("/")
    found = [
        c
        for c in zoo.registry.components()
        if c.name == bare
        and owner
        and owner in (c.plugin, c.distribution, f"{c.distribution}:{c.plugin}")
    ]
    if not found:
        known = {p.distribution for p in zoo.plugins} | {p.name for p in zoo.plugins}
        known |= {
            f"{c.distribution}/{c.name}"
            for c in zoo.registry.components()
            if "/" in name or c.name == name
        }
        hint = nearest(name, known) or "; ganzoo plugins shows what there is"
        raise UnknownComponent(
            f"NAME {shown(name)}: no plugin and no component PLUGIN/NAME is called so{hint}"
        )
    owners = {(c.distribution, c.plugin) for c in found}
    return Subject([p for p in zoo.plugins if (p.distribution, p.name) in owners], found)


def line(finding: Finding) -> str:
    """One finding, to read: outcome, check, what was found; and below it how to fix it."""
    outcome = finding.outcome
    loud = outcome.upper() if outcome == "does not hold" else outcome
    text = f"  {loud:<{WIDTH}}  {finding.check:<12}"
    text += f"  {plain_line(finding.found)}"
    return (
        f"{text}\n  {'':<{WIDTH}}  {'':<12}  fix: {plain_line(finding.fix)}"
        if finding.fix
        else text
    )


def verdict(under: Review) -> str:
    """The last line: how many checks hold, and where those are that do not."""
    every = [finding for _, group in under.found for finding in group]
    counts: Mapping[str, int] = Counter(finding.outcome for finding in every)
    parts = [
        f"{counts['holds']} hold",
        f"{counts['noted']} noted",
        f"{counts['does not apply']} do not apply",
    ]
    bad = [
        f"{f.component.kind} {f.component.name}: {f.check}"
        for f in every
        if f.outcome == "does not hold"
    ]
    bad += [f"{plugin.who} does not load" for plugin in under.subject.broken]
    summary = (
        f"{len(under.found)} component{'s' * (len(under.found) != 1)}, {len(every)} checks: "
        f"{', '.join(parts)}"
    )
    return f"{summary}, {len(bad)} to fix" + (f" ({'; '.join(bad)})" if bad else "")
