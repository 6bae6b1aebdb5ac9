#!/bin/bash
# Create the kernel "Easel" with the packages of the notebook. The first start creates it on the volume, in the
# background; it takes minutes. $1 is the name of this Easel. Log: journalctl -u easel-kernel
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kernel=$HOME/SageMaker/kernel
if [ ! -x "$kernel/bin/python" ]; then
  "$HOME/anaconda3/bin/conda" create --yes --quiet --prefix "$kernel" python=3.12
fi
"$kernel/bin/python" -m pip install --quiet -r "$here/../requirements-sagemaker.txt"
"$kernel/bin/python" -m ipykernel install --user --name easel --display-name Easel --env EASEL_NAME "$1"
