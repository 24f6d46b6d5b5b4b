
# BASE is NVIDIA's image with CUDA's runtime and cuDNN; the driver comes from the node. Databricks' driver asks for the command R.
RUN apt-get update \
  && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends r-base-core \
  && rm -rf /var/lib/apt/lists/*
