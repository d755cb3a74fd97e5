"""The hardware roadmap: what a number of an accelerator is worth to a plan, and which accelerator should come next."""

from __future__ import annotations

from gigaforge.codesign.hardware.capacity import CapacityStep
from gigaforge.codesign.hardware.cost import Costs, cost
from gigaforge.codesign.hardware.design import PARAMETERS, Designs, design_of
from gigaforge.codesign.hardware.economics import Economics
from gigaforge.codesign.hardware.evolve import Evolution, evolve
from gigaforge.codesign.hardware.joint import JointResult, joint_search
from gigaforge.codesign.hardware.past import Retrodiction, question_of_2020, retrodict
from gigaforge.codesign.hardware.score import Limits, Question, Scorer, Scores
from gigaforge.codesign.hardware.sensitivity import Measured, Platform, Sensitivity, elasticities, sensitivities
from gigaforge.codesign.hardware.technologies import TECHNOLOGIES, technology
from gigaforge.codesign.hardware.technology import Estimate, Technology
from gigaforge.codesign.hardware.work import ServingWork, TrainingWork, Work

__all__ = [
    "PARAMETERS", "TECHNOLOGIES", "CapacityStep", "Costs", "Designs", "Economics", "Estimate", "Evolution", "JointResult", "Limits",
    "Measured", "Platform", "Question", "Retrodiction", "Scorer", "Scores", "Sensitivity", "ServingWork", "Technology", "TrainingWork",
    "Work", "cost", "design_of", "elasticities", "evolve", "joint_search", "question_of_2020", "retrodict", "sensitivities",
    "technology",
]  # fmt: skip
