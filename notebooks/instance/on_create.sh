#!/bin/bash
# SageMaker runs this once, as root, when it creates the notebook instance. Copy the notebook and the code that it
# imports, for the user to change. Only files below ~/SageMaker survive a stop.
set -euo pipefail
home=/home/ec2-user/SageMaker
archive=$(mktemp)
aws s3 cp --only-show-errors --region "@REGION@" "@ARCHIVE@" "$archive"
mkdir -p "$home/easel"
python3 -m zipfile -e "$archive" "$home/easel"
chown -R ec2-user:ec2-user "$home/easel"
rm "$archive"
