"""AWS EC2 instance types: see `node_types` for the columns."""

TABLE = """
m4.large 2 8 general
m4.xlarge 4 16 general
m4.2xlarge 8 32 general
m4.4xlarge 16 64 general
m4.10xlarge 40 160 general
m4.16xlarge 64 256 general
m5.large 2 8 general
m5.xlarge 4 16 general
m5.2xlarge 8 32 general
m5.4xlarge 16 64 general
m5.8xlarge 32 128 general
m5.12xlarge 48 192 general
m5.16xlarge 64 256 general
m5.24xlarge 96 384 general
m5a.large 2 8 general
m5a.xlarge 4 16 general
m5a.2xlarge 8 32 general
m5a.4xlarge 16 64 general
m5d.large 2 8 general nvme=1x75
m5d.xlarge 4 16 general nvme=1x150
m5d.2xlarge 8 32 general nvme=1x300
m5d.4xlarge 16 64 general nvme=2x300
m5d.8xlarge 32 128 general nvme=2x600
m5d.12xlarge 48 192 general nvme=2x900
m5d.16xlarge 64 256 general nvme=4x600
m5d.24xlarge 96 384 general nvme=4x900
m6i.large 2 8 general
m6i.xlarge 4 16 general
m6i.2xlarge 8 32 general
m6i.4xlarge 16 64 general
m6i.8xlarge 32 128 general
m6id.xlarge 4 16 general nvme=1x237
m6id.2xlarge 8 32 general nvme=1x474
m6id.4xlarge 16 64 general nvme=1x950
m6g.large 2 8 general arm
m6g.xlarge 4 16 general arm
m6g.2xlarge 8 32 general arm
m6g.4xlarge 16 64 general arm
m6gd.large 2 8 general nvme=1x118 arm
m6gd.xlarge 4 16 general nvme=1x237 arm
m6gd.2xlarge 8 32 general nvme=1x474 arm
m6gd.4xlarge 16 64 general nvme=1x950 arm
m7g.xlarge 4 16 general arm
m7g.2xlarge 8 32 general arm
m7gd.xlarge 4 16 general nvme=1x237 arm
m7gd.2xlarge 8 32 general nvme=1x474 arm
r4.large 2 15.25 memory
r4.xlarge 4 30.5 memory
r4.2xlarge 8 61 memory
r4.4xlarge 16 122 memory
r5.large 2 16 memory
r5.xlarge 4 32 memory
r5.2xlarge 8 64 memory
r5.4xlarge 16 128 memory
r5.8xlarge 32 256 memory
r5.12xlarge 48 384 memory
r5d.large 2 16 memory nvme=1x75
r5d.xlarge 4 32 memory nvme=1x150
r5d.2xlarge 8 64 memory nvme=1x300
r5d.4xlarge 16 128 memory nvme=2x300
r6i.xlarge 4 32 memory
r6i.2xlarge 8 64 memory
r6id.xlarge 4 32 memory nvme=1x237
r6id.2xlarge 8 64 memory nvme=1x474
r6gd.xlarge 4 32 memory nvme=1x237 arm
r6gd.2xlarge 8 64 memory nvme=1x474 arm
c5.large 2 4 compute
c5.xlarge 4 8 compute
c5.2xlarge 8 16 compute
c5.4xlarge 16 32 compute
c5.9xlarge 36 72 compute
c5d.xlarge 4 8 compute nvme=1x100
c5d.2xlarge 8 16 compute nvme=1x200
c5d.4xlarge 16 32 compute nvme=1x400
c6i.xlarge 4 8 compute
c6i.2xlarge 8 16 compute
c6gd.xlarge 4 8 compute nvme=1x237 arm
c6gd.2xlarge 8 16 compute nvme=1x474 arm
i3.large 2 15.25 storage nvme=1x475
i3.xlarge 4 30.5 storage nvme=1x950
i3.2xlarge 8 61 storage nvme=1x1900
i3.4xlarge 16 122 storage nvme=2x1900
i3.8xlarge 32 244 storage nvme=4x1900
i3.16xlarge 64 488 storage nvme=8x1900
i3en.large 2 16 storage nvme=1x1250
i3en.xlarge 4 32 storage nvme=1x2500
i3en.2xlarge 8 64 storage nvme=2x2500
i3en.3xlarge 12 96 storage nvme=1x7500
i3en.6xlarge 24 192 storage nvme=2x7500
i3en.12xlarge 48 384 storage nvme=4x7500
i3en.24xlarge 96 768 storage nvme=8x7500
i4i.large 2 16 storage nvme=1x468
i4i.xlarge 4 32 storage nvme=1x937
i4i.2xlarge 8 64 storage nvme=1x1875
i4i.4xlarge 16 128 storage nvme=1x3750
i4i.8xlarge 32 256 storage nvme=2x3750
i4i.16xlarge 64 512 storage nvme=4x3750
g4dn.xlarge 4 16 gpu nvme=1x125 gpu=1
g4dn.2xlarge 8 32 gpu nvme=1x225 gpu=1
g4dn.4xlarge 16 64 gpu nvme=1x225 gpu=1
g4dn.8xlarge 32 128 gpu nvme=1x900 gpu=1
g4dn.12xlarge 48 192 gpu nvme=1x900 gpu=4
g4dn.16xlarge 64 256 gpu nvme=1x900 gpu=1
g5.xlarge 4 16 gpu nvme=1x250 gpu=1
g5.2xlarge 8 32 gpu nvme=1x450 gpu=1
g5.4xlarge 16 64 gpu nvme=1x600 gpu=1
g5.8xlarge 32 128 gpu nvme=1x900 gpu=1
g5.12xlarge 48 192 gpu nvme=1x3800 gpu=4
g5.16xlarge 64 256 gpu nvme=1x1900 gpu=1
g5.24xlarge 96 384 gpu nvme=1x3800 gpu=4
g5.48xlarge 192 768 gpu nvme=2x3800 gpu=8
p3.2xlarge 8 61 gpu gpu=1
p3.8xlarge 32 244 gpu gpu=4
p3.16xlarge 64 488 gpu gpu=8
p4d.24xlarge 96 1152 gpu nvme=8x1000 gpu=8
"""
