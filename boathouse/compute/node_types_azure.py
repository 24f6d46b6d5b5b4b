"""Azure VM sizes; `disk` is the temporary disk: see `node_types` for the columns."""

TABLE = """
Standard_D3_v2 4 14 general disk=1x200
Standard_D4_v2 8 28 general disk=1x400
Standard_D5_v2 16 56 general disk=1x800
Standard_DS3_v2 4 14 general disk=1x28
Standard_DS4_v2 8 28 general disk=1x56
Standard_DS5_v2 16 56 general disk=1x112
Standard_D4s_v3 4 16 general disk=1x32
Standard_D8s_v3 8 32 general disk=1x64
Standard_D16s_v3 16 64 general disk=1x128
Standard_D32s_v3 32 128 general disk=1x256
Standard_D64s_v3 64 256 general disk=1x512
Standard_D4s_v5 4 16 general
Standard_D8s_v5 8 32 general
Standard_D16s_v5 16 64 general
Standard_D4ds_v5 4 16 general disk=1x150
Standard_D8ds_v5 8 32 general disk=1x300
Standard_D16ds_v5 16 64 general disk=1x600
Standard_D32ds_v5 32 128 general disk=1x1200
Standard_D64ds_v5 64 256 general disk=1x2400
Standard_D4pds_v5 4 16 general disk=1x150 arm
Standard_D8pds_v5 8 32 general disk=1x300 arm
Standard_DS12_v2 4 28 memory disk=1x56
Standard_DS13_v2 8 56 memory disk=1x112
Standard_DS14_v2 16 112 memory disk=1x224
Standard_E4s_v3 4 32 memory disk=1x64
Standard_E8s_v3 8 64 memory disk=1x128
Standard_E16s_v3 16 128 memory disk=1x256
Standard_E32s_v3 32 256 memory disk=1x512
Standard_E4ds_v5 4 32 memory disk=1x150
Standard_E8ds_v5 8 64 memory disk=1x300
Standard_E16ds_v5 16 128 memory disk=1x600
Standard_F4s_v2 4 8 compute disk=1x32
Standard_F8s_v2 8 16 compute disk=1x64
Standard_F16s_v2 16 32 compute disk=1x128
Standard_F32s_v2 32 64 compute disk=1x256
Standard_L4s 4 32 storage disk=1x678
Standard_L8s_v2 8 64 storage nvme=1x1920 disk=1x80
Standard_L16s_v2 16 128 storage nvme=2x1920 disk=1x160
Standard_L8s_v3 8 64 storage nvme=1x1920 disk=1x80
Standard_L16s_v3 16 128 storage nvme=2x1920 disk=1x160
Standard_NC6s_v3 6 112 gpu disk=1x736 gpu=1
Standard_NC12s_v3 12 224 gpu disk=1x1474 gpu=2
Standard_NC24s_v3 24 448 gpu disk=1x2948 gpu=4
Standard_NC4as_T4_v3 4 28 gpu disk=1x180 gpu=1
Standard_NC8as_T4_v3 8 56 gpu disk=1x360 gpu=1
Standard_NC16as_T4_v3 16 110 gpu disk=1x360 gpu=1
Standard_NC64as_T4_v3 64 440 gpu disk=1x2880 gpu=4
Standard_NC24ads_A100_v4 24 220 gpu disk=1x64 gpu=1
"""
