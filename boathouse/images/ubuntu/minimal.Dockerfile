ARG BASE=ubuntu:24.04
FROM ${BASE}

# What Databricks' `minimal` has. The Java is for Databricks and strict workspaces alone: a runtime here brings its own.
ARG JAVA="openjdk-17-jdk-headless"
ENV LANG=C.UTF-8 LC_ALL=C.UTF-8
RUN apt-get update \
  && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
    acl bash ca-certificates coreutils curl gnupg iproute2 procps sudo ${JAVA} \
  && rm -rf /var/lib/apt/lists/*
RUN id -u libraries >/dev/null 2>&1 || useradd libraries; usermod -L libraries
