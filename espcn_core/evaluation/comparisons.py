"""Which methods and regions are tested against each other, each list one family for Holm."""

from __future__ import annotations

import dataclasses
from typing import Any

from espcn_core.evaluation import statistics
from espcn_core.evaluation.table import REFERENCE, Table

Rows = list[dict[str, Any]]


def methods_compared(table: Table) -> dict[str, Rows]:
    """PSNR of each model against each other method, by region, on the first degradation."""
    first = table.degradations[0]
    pairs = [
        (model, other)
        for model in table.models or (table.main,)
        for other in table.methods
        if other != model
        # Two models are compared once.
        and not (other in table.models and table.models.index(other) < table.models.index(model))
    ]
    return {
        region: _family(
            [
                (
                    {"first": model, "second": other},
                    table.get(first, model, region, "psnr"),
                    table.get(first, other, region, "psnr"),
                )
                for model, other in pairs
            ],
            table,
        )
        for region in table.regions
    }


def tumor_against_head(table: Table) -> dict[str, Rows]:
    """PSNR of each method, and gain of each model, in the tumor against the head of the same slices."""
    if not {"tumor", "head"} <= set(table.regions):
        return {}
    first = table.degradations[0]
    psnr = [
        (
            {"method": method},
            table.get(first, method, "tumor", "psnr"),
            table.get(first, method, "head", "psnr"),
        )
        for method in table.methods
    ]
    gain = [
        ({"method": method}, table.gain(first, method, "tumor"), table.gain(first, method, "head"))
        for method in table.models or (table.main,)
        if method != REFERENCE
    ]
    return {"psnr": _family(psnr, table), "gain": _family(gain, table)}


def _family(rows: list[tuple[dict[str, Any], statistics.Values, statistics.Values]], table: Table) -> Rows:
    """One family of tests: each row compared, then p adjusted over all of them."""
    compared = [statistics.compare(first, second, table.patients) for _, first, second in rows]
    adjusted = statistics.holm([comparison.wilcoxon for comparison in compared])
    return [
        {**names, **dataclasses.asdict(comparison), "wilcoxon_holm": p}
        for (names, _, _), comparison, p in zip(rows, compared, adjusted, strict=True)
    ]
