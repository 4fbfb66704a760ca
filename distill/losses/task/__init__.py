"""Losses on what is to be predicted: labels, boxes, label maps.

Those that torch has are taken from there, by their class path in a recipe's ``losses``::

    ce: {loss: torch.nn.CrossEntropyLoss, inputs: {input: student.logits, target: batch.target}}
    l1: {loss: torch.nn.L1Loss, inputs: {input: student@fc, target: teacher@fc}}
    l2: {loss: torch.nn.MSELoss, inputs: {input: student@fc, target: teacher@fc}}
    smooth_l1: {loss: torch.nn.SmoothL1Loss, inputs: {input: student@fc, target: teacher@fc}}

``distill.losses.CrossEntropyLoss`` also takes weights of the classes, for an unbalanced set, and
batches in which no image is labelled::

    ce:
      loss:
        class_path: distill.losses.CrossEntropyLoss
        init_args: {weight: [1.0, 4.0, 2.5], label_smoothing: 0.1}
      inputs: {input: student.logits, target: batch.target}

Label smoothing e (Szegedy et al., arXiv 1512.00567) gives (1 - e) CE + e mean_k(-log p_k): the
share e is spread over all k classes, the right one too. ``MSELoss`` is the mean of squares, and
``SmoothL1Loss`` (Girshick, arXiv 1504.08083) is x^2 / (2 beta) below beta and |x| - beta / 2 above.
"""
