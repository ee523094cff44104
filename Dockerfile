# emoadapt with every library as requirements.lock pins it.
#
#   docker build --tag emoadapt .
#   docker run --rm --gpus all --volume "$PWD:/work" emoadapt emoadapt predict MODEL_DIR recording.mp3
#   docker run --rm --gpus all --volume "$PWD:/work" emoadapt sh -c 'snakemake --snakefile "$(emoadapt workflow)" --cores 8 --resources gpu=1 --configfile my_study.yaml'
#
# Without a GPU leave out `--gpus all`. Apptainer: apptainer build emoadapt.sif docker-daemon://emoadapt:latest
FROM python:3.11-slim-bookworm

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

# As in the Makefile: torch with its own dependencies, then every other pin as it stands.
COPY requirements.lock /opt/emoadapt/
RUN pip install --upgrade pip setuptools \
    && pip install "$(grep '^torch==' /opt/emoadapt/requirements.lock)" \
    && pip install --no-deps --requirement /opt/emoadapt/requirements.lock

COPY CITATION.cff LICENSE README.md Snakefile config.yaml pyproject.toml /opt/emoadapt/
COPY envs /opt/emoadapt/envs
COPY profiles /opt/emoadapt/profiles
COPY rules /opt/emoadapt/rules
COPY src /opt/emoadapt/src
COPY studies /opt/emoadapt/studies
COPY workflow /opt/emoadapt/workflow
RUN pip install --no-deps --no-build-isolation /opt/emoadapt

WORKDIR /work
CMD ["emoadapt", "--help"]
