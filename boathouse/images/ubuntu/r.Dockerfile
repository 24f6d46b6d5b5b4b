
# R, and the packages that Databricks' `rbase` has for R notebooks.
RUN apt-get update \
  && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends g++ make r-base-core r-base-dev \
  && rm -rf /var/lib/apt/lists/*
RUN Rscript -e 'options(warn = 2); install.packages(c("hwriter", "hwriterPlus", "TeachingDemos", "htmltools", "Rserve"), \
  repos = "https://cloud.r-project.org")'
