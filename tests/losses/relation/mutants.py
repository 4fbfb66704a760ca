# ruff: noqa: E501
"""What breaks each relation loss, much of it as public code has: module, what, right, wrong."""

TEACHER = ("teacher.detach()", "teacher")
MUTANTS = {
    "kernels": {
        "grams in float32": ("flat.double()", "flat.float()"),
        "grams not centred": ("flat.double()\n    flat = flat - flat.mean(0)", "flat.float()"),
        "cosines in float32": ("l2_normalize(flat if flat.device.type == \"mps\" else flat.double())", "l2_normalize(flat.float())"),
        "standardised without centring": ("scaled - scaled.mean(1, keepdim=True)", "scaled"),
        "a zero vector divided": ("torch.where(directed, squared, 1.0)", "squared"),
        "a constant row divided": ("torch.where(varies, variance, 1.0)", "variance"),
    },
    "relation/cc": {
        "norm not squared": ("return gap.square().mean()", "return gap.square().mean().sqrt()"),
        "a term short": ("range(order + 1)", "range(order)"),
        "without the factorial": (" / math.factorial(power)", ""),
        "without its factor": ("math.exp(-2 * gamma) * ", ""),
        "code averaged over elements": (".sum() / max(1, len(gap) - 1)", ".mean()"),
        "into the teacher": TEACHER,
    },
    "relation/pkt": {
        "the other way round": ("(p_t * ratio)", "(-p_s * ratio)"),
        "averaged over rows": ("(p_t * ratio).mean()", "(p_t * ratio).sum(1).mean()"),
        "cosines not shifted": ("(cosines(rows) + 1) / 2", "cosines(rows)"),
        "over the whole matrix": ("similarity.sum(1, keepdim=True)", "similarity.sum()"),
        "into the teacher": TEACHER,
    },
    "relation/rkd": {
        "distances over their maximum": ("pairwise.sum() / apart.sum().clamp_min(1)", "pairwise.max()"),
        "distances over the diagonal too": ("apart.sum().clamp_min(1)", "apart.numel()"),
        "distances of unit embeddings": ("distances(centered_gram(rows))", "distances(centered_gram(F.normalize(rows.flatten(1))))"),
        "distances with MSE": ("F.huber_loss(_rel", "F.mse_loss(_rel"),
        "distances into the teacher": ("_relative_distances(teacher.detach())", "_relative_distances(teacher)"),
        "angles with MSE": ("slope = difference.clamp(-1, 1)", "slope = difference"),
        "angles over pairs": ("len(student) ** 3", "len(student) ** 2"),
        "angles with half a gradient": ("gradient -= 2 *", "gradient -="),
        "angles without the mirrored half": ("count = 1 if first == second else 2", "count = 1"),
        "one weight for both": ("self.angle_weight * rkd", "self.distance_weight * rkd"),
        "a gradient added in bfloat16": ("student, teacher = at_least_float32(student), at_least_float32(teacher)\n", "pass\n"),
    },
    "relation/pairwise": {
        "mean in place of max pooling": ("F.max_pool2d(at_least_float32(activations), kernel, ceil_mode=True)", "F.avg_pool2d(at_least_float32(activations), kernel, ceil_mode=True)"),
        "the last places left out": (", ceil_mode=True", ""),
        "norms without a gradient": ("F.normalize(pooled.flatten(2), dim=1)", "pooled.flatten(2) / pooled.flatten(2).norm(dim=1, keepdim=True).detach().clamp_min(1e-12)"),
        "summed": ("gap.square().mean()", "gap.square().sum()"),
        "into the teacher": TEACHER,
    },
    "relation/sp": {
        "rows over their L1 norm": ("l2_normalize(flat @ flat.T)", "torch.nn.functional.normalize(flat @ flat.T, 1)"),
        "not normalised": ("l2_normalize(flat @ flat.T)", "(flat @ flat.T)"),
        "summed over pairs": ("gap.square().mean()", "gap.square().sum() / len(student)"),
        "with L1": ("gap.square().mean()", "gap.abs().mean()"),
        "into the teacher": TEACHER,
    },
}  # fmt: skip
