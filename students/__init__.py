"""Networks to train: factories ``(num_classes, in_channels=3) -> nn.Module`` for recipes."""

from students.alexnet import alexnet
from students.attention import attention_resnet8, attention_resnet20
from students.crnn import crnn
from students.deformable import deform_resnet8, deform_resnet20
from students.detector import detector
from students.elastic_chain import elastic_chain
from students.from_architecture import from_architecture
from students.googlenet32 import googlenet32
from students.headless import headless
from students.inception import googlenet, inception_v3
from students.layer_attention import layer_attention_resnet8, layer_attention_resnet20
from students.lenet import lenet5
from students.mixed_cells import MixedCells
from students.mobilenet import mobilenet_v2_half
from students.resnet import (
    resnet8,
    resnet8x4,
    resnet14,
    resnet20,
    resnet32,
    resnet32x4,
    resnet44,
    resnet56,
    resnet110,
)
from students.resnet9 import resnet9
from students.segmentation_zoo import smp_model, torchvision_segmenter
from students.segmenter import segmenter
from students.shufflenet_v1 import shufflenet_v1
from students.shufflenet_v2 import shufflenet_v2
from students.simkd import SimKD
from students.transformers import deit32, swin32, vit32
from students.vgg import vgg8, vgg11, vgg13, vgg16, vgg19
from students.wrn import wrn_16_1, wrn_16_2, wrn_40_1, wrn_40_2
from students.zoo import timm_model, torchvision_model

__all__ = [
    "MixedCells",
    "SimKD",
    "alexnet",
    "attention_resnet8",
    "attention_resnet20",
    "crnn",
    "deform_resnet8",
    "deform_resnet20",
    "deit32",
    "detector",
    "elastic_chain",
    "from_architecture",
    "googlenet",
    "googlenet32",
    "headless",
    "inception_v3",
    "layer_attention_resnet8",
    "layer_attention_resnet20",
    "lenet5",
    "mobilenet_v2_half",
    "resnet8",
    "resnet8x4",
    "resnet9",
    "resnet14",
    "resnet20",
    "resnet32",
    "resnet32x4",
    "resnet44",
    "resnet56",
    "resnet110",
    "segmenter",
    "shufflenet_v1",
    "shufflenet_v2",
    "smp_model",
    "swin32",
    "timm_model",
    "torchvision_model",
    "torchvision_segmenter",
    "vgg8",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
    "vit32",
    "wrn_16_1",
    "wrn_16_2",
    "wrn_40_1",
    "wrn_40_2",
]
