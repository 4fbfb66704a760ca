# ruff: noqa: E501
"""What breaks each response loss, much of it as public code has: module, what, right, wrong."""

TEACHER = ("teacher.detach()", "teacher")
MUTANTS = {
    "checks": {
        "float16 as it is": ("(torch.float16, torch.bfloat16)", "(torch.bfloat16,)"),
        "batches broadcast": ("student.shape != teacher.shape or ", ""),
        "summed over steps": ("student.flatten(0, -2), teacher.flatten(0, -2)", "student, teacher"),
    },
    "response/dist": {
        "with a plus": ("intra = 1 - ", "intra = 1 + "),
        "without T^2": ("temperature**2 * (inter", "(inter"),
        "images for classes": ("_correlation(p_s.T, p_t.T)", "_correlation(p_s, p_t)"),
        "of logits": (".softmax(1)", ""),
        "into the teacher": TEACHER,
    },
    "response/dkd": {
        "without T^2": ("return temperature**2 * (alpha", "return (alpha"),
        "averaged over classes": ("batchmean", "mean"),
        "summed over the batch": ("batchmean", "sum"),
        "given probabilities": ("_target_share(z_s, target),", "_target_share(z_s, target).exp(),"),
        "weights exchanged": ("alpha * target_part + beta * other_part", "beta * target_part + alpha * other_part"),
        "without the last class": ("classes + (classes >= target[:, None])", "classes.expand(len(target), -1)"),
        "the other way round": ("F.kl_div(other_s, other_t", "F.kl_div(other_t, other_s"),
        "into the teacher": TEACHER,
    },
    "response/hard_kd": {
        "summed": ("teacher.argmax(1))", 'teacher.argmax(1), reduction="sum")'),
        "with soft targets": ("teacher.argmax(1)", "teacher.softmax(1)"),
        "against its own choice": ("teacher.argmax(1)", "student.argmax(1)"),
    },
    "response/kd": {
        "without T^2": ("return temperature**2 * divergence", "return divergence"),
        "averaged over classes": ("batchmean", "mean"),
        "the other way round": ("kl_div(log_student, log_teacher", "kl_div(log_teacher, log_student"),
        "in bfloat16": ("at_least_float32(student)", "student"),
        "without a default": ("temperature: float = 4.0) -> None", "temperature: float) -> None"),
        "into the teacher": TEACHER,
    },
    "response/logit_standard_kd": {
        "without T^2": ("temperature)\n\n\nclass", "temperature) / temperature**2\n\n\nclass"),
        "n in the denominator": ("std(1, keepdim=True)", "std(1, keepdim=True, correction=0)"),
        "over the batch": ("std(1, keepdim=True)", "std(0, keepdim=True)"),
        "of the student alone": ("_standardize(teacher.detach())", "teacher.detach()"),
        "by the variance": ("logits.std(", "logits.var("),
    },
    "response/multi_label_kd": {
        "half of it": ("(yes + no)", "yes"),
        "averaged over labels": (".sum(1).mean()", ".mean()"),
        "without T^2": ("return temperature**2 * ", "return "),
        "the other way round": ("yes = z_t.sigmoid()", "yes = -z_s.sigmoid()"),
        "into the teacher": TEACHER,
    },
    "response/ssld": {
        "with one divergence": ("(log_t.exp() - log_s.exp())", "log_t.exp()"),
        "doubled": (".sum(1).mean() / 2", ".sum(1).mean()"),
        "js with a heavy mixture": (" - math.log(2)", ""),
        "js for jeffreys": ('if divergence == "jeffreys"', 'if divergence == "js"'),
        "into the teacher": TEACHER,
    },
}  # fmt: skip
