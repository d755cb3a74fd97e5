"""Two baselines beside the training model, on the same rows and folds: constant MFU, and gradient-boosted trees.

Run: OMP_NUM_THREADS=1 python benchmarks/training_baselines.py
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

from gigaforge.perf.calibration.study import FOLDS, folds_of, weights_of
from gigaforge.perf.validation.common import errors
from gigaforge.perf.validation.training import shipped_runs, validate_training

NUMBERS = (
    "n_params_total_b", "n_params_active_b", "n_layers", "d_model", "n_heads", "n_kv_heads", "d_ff", "vocab", "seq_len",
    "n_experts", "top_k", "n_gpus", "gpus_per_node_or_nvl_domain", "tp", "pp", "vpp", "cp", "dp", "ep", "micro_batch",
    "global_batch_sequences",
)  # fmt: skip
WORDS = ("gpu", "precision", "recompute", "fsdp", "schedule", "software")


def constant_mfu(runs, fold):
    """Median MFU of the same chip and precision among the other folds (of the precision, where the chip is new)."""
    flops = np.array([float(r.transformer.training_flops_per_token(r.seq_len)) for r in runs])
    peak = np.array([float(r.machine.peak_flop_s) for r in runs])
    mfu = np.array([r.measured_tokens for r in runs]) * flops / peak
    keys = [(r.key.chip, r.key.precision) for r in runs]
    out = np.zeros(len(runs))
    for i, key in enumerate(keys):
        alike = [j for j, k in enumerate(keys) if k == key and fold[j] != fold[i]]
        near = alike or [j for j, k in enumerate(keys) if k[1] == key[1] and fold[j] != fold[i]]
        out[i] = np.median(mfu[near]) * peak[i] / flops[i]
    return out


def boosted_trees(runs, fold):
    """The trees learn log FLOP/s per accelerator (throughput times FLOPs a token) from the published columns."""
    table = pd.DataFrame([dict(r.row) for r in runs])
    features = table[list(NUMBERS)].astype(float)
    for word in WORDS:
        features[word] = table[word].fillna("").astype("category").cat.codes
    flops = np.array([float(r.transformer.training_flops_per_token(r.seq_len)) for r in runs])
    target = np.log(flops * [r.measured_tokens for r in runs])
    out = np.zeros(len(runs))
    for k in range(FOLDS):
        model = HistGradientBoostingRegressor(max_iter=300, learning_rate=0.06, random_state=0)
        model.fit(features[fold != k], target[fold != k])
        out[fold == k] = np.exp(model.predict(features[fold == k])) / flops[fold == k]
    return out


def main():
    runs, _ = shipped_runs()
    weights, _ = weights_of(runs)
    fold = folds_of(runs, weights)
    tier_a = np.array([r.row["tier"] == "A" for r in runs])
    measured = pd.Series([r.measured_tokens for r in runs])[tier_a]
    ours = validate_training().scored
    result = {"gigaforge": errors(ours["predicted"], ours["measured"])}
    for name, predict in (("constant_mfu", constant_mfu), ("boosted_trees", boosted_trees)):
        result[name] = errors(pd.Series(predict(runs, fold))[tier_a], measured)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
