"""A short program that runs an exported student with onnxruntime, numpy and Pillow alone."""

import json

from distill.core.outputs import LOGITS
from distill.core.preprocessing import Preprocessing
from distill.tasks import Task, Tells

FILE = "run_onnx.py"
_RESIZED = {
    "squash": "image = image.resize((width, height), Image.Resampling.BILINEAR)",
    "letterbox": "image = ImageOps.pad(image, (width, height), Image.Resampling.BILINEAR)",
    "crop": """\
side = round(height / facts["crop_share"])
longer = [int(side * each / min(image.size)) for each in image.size]
image = image.resize(longer, Image.Resampling.BILINEAR)
left, top = (round((a - b) / 2) for a, b in zip(image.size, (width, height), strict=True))
image = image.crop((left, top, left + width, top + height))""",
    None: 'assert image.size == (width, height), "resize the image as in training"',
}
_PROGRAM = '''\
"""What the student says of an image: python {name} IMAGE (opaque, 8 bits a channel)."""

import json
import sys
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession
from PIL import Image, ImageOps

session = InferenceSession(Path(__file__).with_name({file}))
facts = json.loads(session.get_modelmeta().custom_metadata_map["preprocess"])
classes, (height, width) = facts["classes"], facts["size"]
image = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert(facts["mode"])
{resized}
pixels = np.asarray(image, np.float32).reshape(height, width, -1).transpose(2, 0, 1) / 255
{given} = (each[0] for each in session.run({names}, {{"image": pixels[None]}}))
{told}
'''


def snippet(file: str, preprocessing: Preprocessing, task: Task) -> str:
    """The program.

    Args:
        file: Name of the ONNX file, in the same folder.
        preprocessing: How an image becomes its input; the file's metadata has it too.
        task: Says what its outputs mean.
    """
    names = task.exported if isinstance(task, Tells) else (LOGITS,)
    given = f"({', '.join(names)},)"
    told = task.numpy_code if isinstance(task, Tells) else f"print({names[0]})"
    resized = _RESIZED[preprocessing.resize]
    parts = {"name": FILE, "resized": resized, "given": given, "told": told}
    return _PROGRAM.format(file=json.dumps(file), names=json.dumps(names), **parts)
