
# What Databricks' `dbfsfuse` and `standard` add, and git. The SSH server is not started.
RUN apt-get update \
  && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends fuse git openssh-server \
  && rm -rf /var/lib/apt/lists/*
ENV USER=root
