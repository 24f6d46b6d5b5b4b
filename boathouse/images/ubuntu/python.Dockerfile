
# Python in Databricks' place. No pyspark: the runtime brings it at start.
ARG PYTHON="3.12"
RUN apt-get update \
  && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
    python${PYTHON} python${PYTHON}-venv python3-pip virtualenv \
  && rm -rf /var/lib/apt/lists/*
RUN virtualenv --python=python${PYTHON} --system-site-packages --no-download /databricks/python3
ARG REQUIREMENTS="databricks-sdk==0.49.0 numpy==2.1.3 pandas==2.2.3 pyarrow==19.0.1"
RUN /databricks/python3/bin/pip install --no-cache-dir ${REQUIREMENTS}
ENV PYSPARK_PYTHON=/databricks/python3/bin/python3
