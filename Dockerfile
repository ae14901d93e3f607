# Babelscope in a container. docs/watch.md says how to run it.
#
#     docker build --tag babelscope .
#     docker build --tag babelscope:cuda --build-arg CONSTRAINTS= --build-arg INDEX= \
#         --build-arg BASE=nvidia/cuda:13.0.1-base-ubuntu24.04 .
#
# BASE         a Debian or Ubuntu; its Python, where it has none that of its packages
# CONSTRAINTS  exact versions: those that the tests use, which are for machines without a GPU
# INDEX        where, beside PyPI, packages are looked for: the CPU builds of torch
# EXTRAS       such as peft,large (pyproject.toml)
# WITH         further requirements, such as ray[default], which KubeRay starts
# PACKAGES     of Debian, such as g++, which vLLM compiles with
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS base
# hadolint ignore=DL3002
USER 0
ARG PACKAGES=
# tini hands signals on and buries what is orphaned, which a process 1 must and a watch of weeks needs.
# hadolint ignore=DL3008,SC2046,SC2086
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates tini \
        $(command -v python3 > /dev/null || echo python3 python3-venv) ${PACKAGES} \
    && rm -rf /var/lib/apt/lists/*

FROM base AS wheel
WORKDIR /source
COPY . .
RUN python3 -m venv /tmp/build \
    && /tmp/build/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM base
ARG CONSTRAINTS=constraints-cpu.txt
ARG INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=
ARG WITH=
RUN --mount=type=bind,from=wheel,source=/source,target=/source \
    --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    python3 -m venv /opt/babelscope \
    && /opt/babelscope/bin/pip install --no-cache-dir \
        ${CONSTRAINTS:+--constraint "/source/${CONSTRAINTS}"} ${INDEX:+--extra-index-url "${INDEX}"} \
        "$(echo /wheels/*.whl)${EXTRAS:+[${EXTRAS}]}" ${WITH:+"${WITH}"}
# Group 0, as some clusters run images as any user of that group.
RUN useradd --uid 10001 --gid 0 --create-home babelscope \
    && install --directory --owner=babelscope --group=0 --mode=775 /data
USER 10001
WORKDIR /data
# Runs, downloads and remembered hashes are in /data: mount a volume there.
ENV PATH="/opt/babelscope/bin:${PATH}" \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/data/hub \
    XDG_CACHE_HOME=/data/cache
ENTRYPOINT ["tini", "--", "babelscope"]
CMD ["--help"]
