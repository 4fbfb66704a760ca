"""Losses on what is to be predicted: labels, boxes, label maps.

Those that torch has are taken from there, by their class path in a recipe's ``losses``::

    ce:
      loss: {class_path: torch.nn.CrossEntropyLoss, init_args: {label_smoothing: 0.1}}
      inputs: {input: student.logits, target: batch.target}
    l1: {loss: torch.nn.L1Loss, inputs: {input: student@fc, target: teacher@fc}}
    l2: {loss: torch.nn.MSELoss, inputs: {input: student@fc, target: teacher@fc}}
    smooth_l1: {loss: torch.nn.SmoothL1Loss, inputs: {input: student@fc, target: teacher@fc}}

Label smoothing e (Szegedy et al., arXiv 1512.00567) gives (1 - e) CE + e mean_k(-log p_k): the
share e is spread over all k classes, the right one too. ``MSELoss`` is the mean of squares, and
``SmoothL1Loss`` (Girshick, arXiv 1504.08083) is x^2 / (2 beta) below beta and |x| - beta / 2 above.
"""
