# ruff: noqa: E501
"""What breaks each task loss, as public code has: module, what, right, wrong."""

MUTANTS = {
    "task/focal": {
        "without the power": ("rest.pow(gamma) * ", ""),
        "on hard and easy the other way round": ("(-torch.expm1(log_p))", "log_p.exp()"),
        "averaged over what is ignored": ("known.sum().clamp_min(1)", "max(len(input), 1)"),
        "without alpha": (" * _weights(alpha, log_p)", ""),
        "in bfloat16": ("at_least_float32(input)", "input"),
        "with an infinite slope": (".clamp_min(torch.finfo(log_p.dtype).tiny)", ""),
    },
    "task/center": {
        "without the half": ("(2 * max(", "(1 * max("),
        "with L1": (".square().sum()", ".abs().sum()"),
        "centres that stay": ("self.centres += self.rate", "self.centres += 0"),
        "centres that flee": ("self.centres += self.rate", "self.centres -= self.rate"),
        "centres at the batch's means": ("(1 + counts[:, None])", "counts[:, None].clamp_min(1)"),
        "centres that move in evaluation": ("if self.training:", "if self.rate:"),
        "centres with a gradient": ("centres.detach()", "centres"),
    },
    "task/dice": {
        "without the squares": ("p.square().sum(2) + t.square().sum(2)", "p.sum(2) + t.sum(2)"),
        "of classes that are not there": ("t.square().sum(2) > 0", "t.square().sum(2) > -1"),
        "over the batch": ("b k h w -> b k (h w)", "b k h w -> 1 k (b h w)"),
        "of what is ignored": (" * known.unsqueeze(1)", ""),
        "of a sigmoid": ("softmax(dim=1)", "sigmoid()"),
    },
    "task/lovasz": {
        "from the smallest error": ("descending=True", "descending=False"),
        "with errors alone sorted": ("own.gather(2, order)", "own"),
        "of what is ignored": (" * known.unsqueeze(1)", ""),
        "of all classes": ('"present" else counts', '"all" else counts'),
        "with another default": ('per: Per = "batch"', 'per: Per = "image"'),
        "of an absent class as 0": (".clamp_min(1)), 1.0)", ".clamp_min(1)), 0.0)"),
        "with the union before": ("1 / union.clamp_min(1)", "1 / (union + 1)"),
    },
    "task/boxes": {
        "iou over both areas": ("_area(a) + _area(b) - overlap", "_area(a) + _area(b)"),
        "iou as a logarithm": ("_mean(1 - _overlap(a, b)[0])", "_mean(-_overlap(a, b)[0].log())"),
        "boxes with a constant": ("(positive, denominator, 1.0),", "(positive, denominator, 1.0) + 1e-7,"),
        "boxes of a negative side": (".clamp_min(0)", ""),
        "boxes into the target": ("target.detach()", "target"),
        "giou over the union": ("width * height - union, width * height", "width * height - union, union"),
        "giou the other way round": ("1 - iou + _ratio(width", "1 - iou - _ratio(width"),
        "giou without the iou": ("1 - iou + _ratio(width", "1 + _ratio(width"),
        "diou of distances": ("diagonal), iou", "diagonal).sqrt(), iou"),
        "diou of twice the distance": ("b[:, 2:]) / 2", "b[:, 2:])"),
        "diou over the sides": ("_around(a, b).square().sum(1)", "_around(a, b).sum(1)"),
        "ciou with a gradient of alpha": ("1 - iou + v).detach()", "1 - iou + v)"),
        "ciou without its constant": ("4 / math.pi**2 * ", ""),
        "ciou without alpha": ("values + alpha * v", "values + v"),
    },
}  # fmt: skip
