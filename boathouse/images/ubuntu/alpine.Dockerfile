ARG BASE=alpine:3.20
FROM ${BASE}

# musl: the image's own Java is used, because a runtime's is made for glibc.
ENV LANG=C.UTF-8 LC_ALL=C.UTF-8
RUN apk add --no-cache acl bash ca-certificates coreutils curl gnupg iproute2 openjdk17-jre-headless procps python3 py3-pip \
  py3-virtualenv shadow sudo
RUN useradd libraries && usermod -L libraries
RUN virtualenv --system-site-packages --no-download /databricks/python3
ENV PYSPARK_PYTHON=/databricks/python3/bin/python3
