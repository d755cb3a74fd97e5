"""The black box beside the physics: gradient-boosted trees on the printed columns, same rows, same folds.

    python benchmarks/inference_baseline.py

Also with whole chips and whole models left out; the physics' figures there are those of `gigaforge calibrate inference`.

Trees see model size, lengths, concurrency, layout, launch settings, precision, software and the data sheet; they predict the logarithm of
each metric family and are scored on folds that leave out whole (model, chip, software) groups, as the physics is.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.preprocessing import OrdinalEncoder

from gigaforge.catalog import load_catalog
from gigaforge.perf.calibration.folds import group_folds
from gigaforge.perf.calibration.inference import FOLDS, shipped_measurements
from gigaforge.perf.parameters import load_parameters
from gigaforge.perf.validation.inference import validate_inference
from gigaforge.perf.validation.intervals import family_of
from gigaforge.perf.validation.serving_rows import group_labels, read_serving, rows_of


def features(rows, which) -> pd.DataFrame:
    table = rows.table.iloc[which]
    conditions = [rows.conditions[i] for i in rows.condition[which]]
    shapes = [rows.transformers[c.model] for c in conditions]
    machines = [rows.hardware[c.chip] for c in conditions]
    out = pd.DataFrame(
        {
            "total": [float(np.asarray(s.parameters)) for s in shapes],
            "active": [float(np.asarray(s.active_parameters)) for s in shapes],
            "input": [c.input_len for c in conditions],
            "output": [c.output_len for c in conditions],
            "concurrency": [c.concurrency for c in conditions],
            "gpus": [c.total for c in conditions],
            "replica": [c.accelerators for c in conditions],
            "ranks": [c.attention_data_parallel for c in conditions],
            "expert": [c.expert_parallel for c in conditions],
            "disaggregated": [c.prefill is not None for c in conditions],
            "prefill_size": [c.prefill[0] if c.prefill else 0.0 for c in conditions],
            "prefill_ranks": [c.prefill[1] if c.prefill else 0.0 for c in conditions],
            "prefill_share": [c.prefill[2] if c.prefill else 0.0 for c in conditions],
            "decode_workers": [c.decode_workers for c in conditions],
            "slots": [min(c.slots, 1e6) for c in conditions],
            "chunk": [c.chunk_tokens for c in conditions],
            "drafts": [c.draft_tokens for c in conditions],
            "ttft": [c.ttft_s for c in conditions],
            "tpot": [c.tpot_s for c in conditions],
            "bandwidth": [float(np.asarray(h.hbm_bandwidth_bytes_s)) for h in machines],
            "bf16": [float(np.asarray(h.peak_flop_s["bf16"])) for h in machines],
            "memory": [float(np.asarray(h.hbm_bytes)) for h in machines],
        }
    ).replace(np.inf, np.nan)
    words = pd.DataFrame(
        {
            "precision": [c.group.precision for c in conditions],
            "software": [c.group.software for c in conditions],
            "kind": [c.kind for c in conditions],
            "metric": table["metric"].astype(str).to_numpy(),
            "statistic": table["statistic"].astype(str).to_numpy(),
        }
    )
    return pd.concat([out, pd.DataFrame(OrdinalEncoder().fit_transform(words), columns=words.columns)], axis=1)


def errors(ratio: np.ndarray) -> str:
    ape = np.abs(ratio[np.isfinite(ratio)] - 1.0)
    return f"{np.median(ape):6.1%} {np.mean(ape):7.1%} {np.quantile(ape, 0.9):7.1%}"


def folds_of(names: list[Hashable], count: int) -> np.ndarray:
    number = {name: i for i, name in enumerate(sorted(set(names)))}
    return group_folds(np.array([number[x] for x in names]), min(count, len(number)), np.ones(len(names)))


def trees(x: pd.DataFrame, y: np.ndarray, family: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Logarithm of each metric, predicted by trees that did not see the row's fold."""
    predicted = np.full(len(y), np.nan)
    for kind in sorted(set(family)):
        for i in range(fold.max() + 1):
            train, test = (family == kind) & (fold != i), (family == kind) & (fold == i)
            if test.any() and train.any():
                model = HistGradientBoostingRegressor(
                    max_iter=400, learning_rate=0.06, max_leaf_nodes=31, random_state=0
                )
                predicted[test] = model.fit(x[train], y[train]).predict(x[test])
    return predicted


def known(name: str, kind: str) -> str:
    """The physics' errors with chips or models left out, from the calibration that the product carries."""
    figures = load_parameters("serving")["about"]["accuracy"][name][kind]
    return f"{figures['median_ape']:6.1%} {figures['mean_ape']:7.1%} {figures['p90_ape']:7.1%}"


def main() -> None:
    table = read_serving(shipped_measurements())
    rows = rows_of(table, load_catalog())
    clean = table["doubt"].fillna("").astype(str).str.strip() == ""
    which = np.flatnonzero((rows.condition >= 0) & clean.to_numpy())
    x, y = features(rows, which), np.log(table["value"].to_numpy(dtype=float)[which])
    family = family_of(list(table["metric"].iloc[which]))
    labels = group_labels(rows, which)
    ours = validate_inference(catalog=load_catalog()).table
    physics = np.log(ours["predicted"].to_numpy()[which]) - y
    questions = (
        ("group (model, chip, software)", None, folds_of(labels, FOLDS)),
        ("whole model", "model_left_out", folds_of([label[0] for label in labels], FOLDS)),
        ("whole chip", "chip_left_out", folds_of([label[1] for label in labels], len(labels))),
    )
    print("median, mean, p90 absolute error          trees                      physics")
    for words, figures, fold in questions:
        predicted = trees(x, y, family, fold)
        print(f"left out: {words}")
        for kind in sorted(set(family)):
            mine = family == kind
            theirs = errors(np.exp(physics)[mine]) if figures is None else known(figures, kind)
            print(f"{kind:12s} {mine.sum():5d} rows   {errors(np.exp(predicted - y)[mine])}   {theirs}")


if __name__ == "__main__":
    main()
