"""Google Cloud machine types; local SSDs come by `gcp_attributes.local_ssd_count`: see `node_types` for the columns."""

TABLE = """
n1-standard-4 4 15 general
n1-standard-8 8 30 general
n1-standard-16 16 60 general
n1-standard-32 32 120 general
n1-highmem-4 4 26 memory
n1-highmem-8 8 52 memory
n1-highmem-16 16 104 memory
n2-standard-4 4 16 general
n2-standard-8 8 32 general
n2-standard-16 16 64 general
n2-standard-32 32 128 general
n2-highmem-4 4 32 memory
n2-highmem-8 8 64 memory
n2-highmem-16 16 128 memory
n2d-standard-4 4 16 general
n2d-standard-8 8 32 general
n2d-highmem-4 4 32 memory
e2-standard-4 4 16 general
e2-standard-8 8 32 general
e2-highmem-4 4 32 memory
e2-highmem-8 8 64 memory
c2-standard-4 4 16 compute
c2-standard-8 8 32 compute
c2-standard-16 16 64 compute
c4a-standard-4 4 16 general arm
c4a-standard-8 8 32 general arm
a2-highgpu-1g 12 85 gpu gpu=1
a2-highgpu-2g 24 170 gpu gpu=2
a2-highgpu-4g 48 340 gpu gpu=4
g2-standard-4 4 16 gpu gpu=1
g2-standard-8 8 32 gpu gpu=1
g2-standard-12 12 48 gpu gpu=1
g2-standard-24 24 96 gpu gpu=2
"""
