#!/usr/bin/env bash
# mediapipe asks for the OpenCV wheel with windows; it runs with the headless one of the environment.
set -euo pipefail
pip install --no-deps mediapipe==1.2.2
# audiomentations asks for soxr < 1, with which it only reads files.
pip install --no-deps audiomentations==0.43.1
