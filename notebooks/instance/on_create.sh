#!/bin/bash
# SageMaker runs this once, as root, when the notebook instance is made: our notebook and what it imports, to be changed
# at will. What is below ~/SageMaker outlives a stop; nothing else does.
set -euo pipefail
home=/home/ec2-user/SageMaker
archive=$(mktemp)
aws s3 cp --only-show-errors --region "@REGION@" "@ARCHIVE@" "$archive"
mkdir -p "$home/easel"
python3 -m zipfile -e "$archive" "$home/easel"
chown -R ec2-user:ec2-user "$home/easel"
rm "$archive"
