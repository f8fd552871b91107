from __future__ import annotations

import pytest
from monai.data.meta_obj import get_track_meta, set_track_meta

from espcn_core.figshare import open_source


@pytest.fixture(scope="session")
def source(figshare_dir):
    with open_source(figshare_dir) as opened:
        yield opened


@pytest.fixture(params=[True, False], ids=["tracked", "plain"])
def tracked(request):
    before = get_track_meta()
    set_track_meta(request.param)
    yield request.param
    set_track_meta(before)
