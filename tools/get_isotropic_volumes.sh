#!/usr/bin/env bash
# Isotropic volumes to judge through-plane super-resolution on, out of Debian and PyPI packages:
#     tools/get_isotropic_volumes.sh DIR
# Licences, as the packages give them: mricron-data (Colin27 and INIA19) BSD-3-Clause, in its copyright file (the
# header of INIA19 itself says CC BY, PMID 23230398); pycortex
# (subject S1) BSD-2-Clause, in its LICENSE; TotalSegmentator (the aorta and the CT brain atlas) Apache-2.0, in its
# LICENSE; hippunfold (the CITI168 T1 template) MIT, in its metadata; autoafids (the ICBM 2009c T1 and T2 templates)
# MIT, in its LICENSE. The ICBM templates are (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal
# Neurological Institute, McGill University, free for any purpose where this notice is kept.
# Two more come from GitHub, as no package has one of their kind: py_synthsr's example (FLAIR) Apache-2.0, in its LICENSE;
# sct_testing_data (T2 of a neck, 60 x 55 x 52 voxels) MIT, in its LICENSE. Where GitHub cannot be reached they are left
# out, and a line says so.
# Single scans: the aorta, the FLAIR, the neck, Colin27 (one man, the mean of 27 scans) and pycortex S1 (its white matter
# evened out). The others are averages over subjects. The CT brain atlas has no skull; INIA19 has no skull.
# Needs apt-get, dpkg, pip, tar, curl, sha256sum, and a Python with SimpleITK for the check at the end.
set -euo pipefail

mkdir -p "${1:?name a folder for the volumes}"
volumes=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

apt-get download mricron-data=1.2.20211006+dfsg-4
dpkg -x mricron-data_*.deb mricron
cp mricron/usr/share/mricron/templates/ch2.nii.gz "$volumes/human-t1-colin27.nii.gz"
cp mricron/usr/share/mricron/templates/inia19-t1-brain.nii.gz "$volumes/macaque-t1-inia19.nii.gz"

pip download --no-deps --no-binary pycortex pycortex==1.2.11
tar xzf pycortex-1.2.11.tar.gz
cp pycortex-1.2.11/filestore/db/S1/anatomicals/raw.nii.gz "$volumes/human-t1-pycortex-s1.nii.gz"

pip download --no-deps --no-binary TotalSegmentator TotalSegmentator==2.18.0
tar xzf totalsegmentator-2.18.0.tar.gz
cp totalsegmentator-2.18.0/tests/reference_files/aorta_report/example_ct.nii.gz "$volumes/human-ct-aorta.nii.gz"
cp totalsegmentator-2.18.0/totalsegmentator/resources/ct_brain_atlas_1mm.nii.gz "$volumes/human-ct-brain-atlas.nii.gz"

pip download --no-deps hippunfold==0.5.11 autoafids==0.1.4
python -m zipfile -e hippunfold-0.5.11-py3-none-any.whl hippunfold
cp hippunfold/hippunfold/resources/CITI168/T1w_head_700um.nii.gz "$volumes/human-t1-citi168.nii.gz"
python -m zipfile -e autoafids-0.1.4-py3-none-any.whl autoafids
for contrast in t1 t2; do
    cp "autoafids/autoafids/resources/tpl-MNI152NLin2009cAsym_res-01_${contrast^}w.nii.gz" \
        "$volumes/human-$contrast-icbm2009c.nii.gz"
done

from_github() {  # repository, commit and path of a file; its SHA-256; the name that it gets
    if curl -fsSL "https://raw.githubusercontent.com/$1" -o "$3"; then
        sha256sum --check --quiet <<<"$2  $3"
        mv "$3" "$volumes/"
    else
        echo "$3 is left out: GitHub cannot be reached" >&2
    fi
}
from_github neurolabusc/py_synthsr/04ab5548f4609c2b44ca51b3f4bc319b585dafa7/FLAIR.nii.gz \
    87edd267540bcdb9734e4a42458c82c2aa8582c61ef6518a792bfdc1e89b5386 human-flair-synthsr.nii.gz
from_github spinalcordtoolbox/sct_testing_data/af4c7e8783c9dcf8bcfc6c53b190af46260bb875/t2/t2.nii.gz \
    15cde5cdc5e56ad4f7d5fef698b317864c9bd68c0f72d2b3022c9fae6d11d977 human-t2-sct.nii.gz

python - "$volumes" <<'PY'
import pathlib
import sys

import SimpleITK

for path in sorted(pathlib.Path(sys.argv[1]).glob("*.nii.gz")):
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    spacing = reader.GetSpacing()
    if max(spacing) > 1.01 * min(spacing):
        sys.exit(f"{path.name} is not isotropic: {spacing}")
    print(path.name, reader.GetSize(), *(f"{step:.3f}" for step in spacing))
PY
