# An image of Saddlepoint with the packages of requirements.lock, for CPUs and GPUs:
#
#   docker build -t saddlepoint .
#   docker build -t saddlepoint --build-arg BASE=nvidia/cuda:13.0.1-base-ubuntu24.04 .
#
# The wheels of PyTorch contain the CUDA libraries that they need, so the first image runs on GPUs as well.
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}

# A base without Python, such as nvidia/cuda, gets that of its distribution.
RUN command -v python3 || { \
      apt-get update \
      && apt-get install --yes --no-install-recommends python3 python3-venv \
      && rm -rf /var/lib/apt/lists/*; \
    }

# Not root. Folders can be written by any user, for `docker run --user`, who may have no name in the image.
RUN useradd --create-home saddlepoint \
    && mkdir /work /cache \
    && chmod 1777 /work /cache /home/saddlepoint
ENV HOME=/home/saddlepoint USER=saddlepoint XDG_CACHE_HOME=/cache PATH=/opt/venv/bin:$PATH
# Read by NVIDIA's container toolkit, if the host has it.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

# The packages are a layer of their own, which a change of the source does not build again.
COPY requirements.lock /opt/saddlepoint/
RUN python3 -m venv /opt/venv \
    && pip install --no-cache-dir --require-hashes --requirement /opt/saddlepoint/requirements.lock
COPY pyproject.toml README.md LICENSE /opt/saddlepoint/
COPY conf /opt/saddlepoint/conf
COPY src /opt/saddlepoint/src
RUN pip install --no-cache-dir --no-deps --no-build-isolation /opt/saddlepoint

USER saddlepoint
WORKDIR /work
ENTRYPOINT ["saddlepoint"]
CMD ["--help"]
