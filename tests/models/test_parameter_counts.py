"""How many parameters every network has: counted once by the formulas of the papers' layer tables.

The counts of StyleGAN's generator are checked by the 26.2 million that its authors print at 1024 px.
"""

from __future__ import annotations

import pytest
import torch

from msgbench.models.build import build_discriminator, build_generator
from msgbench.models.channels import channels
from msgbench.models.describe import count_parameters, discriminator_table, generator_table

RESOLUTIONS = (32, 128, 256, 1024)

GENERATORS = {
    "progan": (20_719_628, 22_933_394, 23_044_309, 23_079_115),
    "stylegan": (22_841_356, 25_843_858, 26_086_229, 26_219_627),
}

DISCRIMINATORS = {
    ("progan", "paper", "phi_simple"): (20_775_937, 23_011_585, 23_126_145, 23_163_681),
    ("progan", "paper", "phi_lin_cat"): (24_276_481, 27_967_489, 28_152_577, 28_210_753),
    ("progan", "paper", "phi_cat_lin"): (21_525_505, 24_070_401, 24_198_273, 24_238_625),
    ("progan", "bmsg", "phi_lin_cat"): (17_184_001, 18_659_329, 18_733_185, 18_756_321),
    ("progan", "bbmsg", "phi_lin_cat"): (68_708_865, 74_608_641, 74_903_809, 74_996_161),
    # Blur has no parameters, and a dense layer over 4x4 as many as a valid 4x4 convolution.
    ("stylegan", "paper", "phi_simple"): (20_775_937, 23_011_585, 23_126_145, 23_163_681),
    ("stylegan", "paper", "phi_lin_cat"): (24_276_481, 27_967_489, 28_152_577, 28_210_753),
    ("stylegan", "paper", "phi_cat_lin"): (21_525_505, 24_070_401, 24_198_273, 24_238_625),
}


@pytest.mark.parametrize("family", list(GENERATORS))
@pytest.mark.parametrize("index", range(4))
def test_generators(model_spec, family, index):
    spec = model_spec(RESOLUTIONS[index], family=family)
    with torch.device("meta"):
        assert count_parameters(build_generator(spec)) == GENERATORS[family][index]
    # The table of the whole network sums to it as well, so no layer is left out.
    assert sum(row.parameters for row in generator_table(spec)) == GENERATORS[family][index]


@pytest.mark.parametrize(("family", "variant", "combine"), list(DISCRIMINATORS))
@pytest.mark.parametrize("index", range(4))
def test_discriminators(model_spec, family, variant, combine, index):
    spec = model_spec(RESOLUTIONS[index], family=family, variant=variant, combine=combine)
    expected = DISCRIMINATORS[family, variant, combine][index]
    with torch.device("meta"):
        assert count_parameters(build_discriminator(spec)) == expected
    assert sum(row.parameters for row in discriminator_table(spec)) == expected


@pytest.mark.parametrize("variant", ["bmsg", "bbmsg"])
def test_the_first_versions_generator_is_progans(model_spec, variant):
    with torch.device("meta"):
        assert count_parameters(build_generator(model_spec(32, variant=variant))) == 20_719_628


@pytest.mark.parametrize(
    ("connections", "expected"),
    [
        ("none", 23_095_425),
        ("coarse", 23_123_073),
        ("middle", 23_123_073),
        ("fine", 23_108_385),
        ("all", 23_163_681),
    ],
)
def test_ablation_discriminators_of_table_4(model_spec, connections, expected):
    spec = model_spec(1024, connections=connections)
    with torch.device("meta"):
        assert count_parameters(build_discriminator(spec)) == expected
        # The generator is the same: unconnected scales keep their to_rgb.
        assert count_parameters(build_generator(spec)) == 23_079_115


@pytest.mark.parametrize(
    ("resolution", "progan"),
    list(zip(RESOLUTIONS, (20_726_785, 22_941_313, 23_052_353, 23_087_249), strict=True)),
)
def test_without_connections_and_one_statistic_it_is_progans(model_spec, resolution, progan):
    """ProGAN's own discriminator owns a from_rgb at every scale it grows through; ours needs the last one."""
    spec = model_spec(resolution, connections="none", mbstd="last_block")
    others = sum(4 * channels(scale, spec) for scale in spec.scales[:-1])
    with torch.device("meta"):
        assert count_parameters(build_discriminator(spec)) + others == progan
