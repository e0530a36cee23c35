# How a run is logged, saved, resumed and repeated; every schedule starts from here.
default_scope = 'mmseg'
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))  # tools/train.py takes gloo where there is no GPU
randomness = dict(seed=0)  # --cfg-options randomness.seed=1 for another run

log_level = 'INFO'
log_processor = dict(by_epoch=False)
# TensorBoard needs `pip install tensorboard` and one line in a child config:
# visualizer = dict(vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])
visualizer = dict(type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')])

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # save_best='mIoU_tail' works as well. At least 2 checkpoints: the hook deletes the old one before it writes the new one.
    checkpoint=dict(
        type='CheckpointHook', by_epoch=False, interval=4000, max_keep_ckpts=2, save_best='mIoU', rule='greater'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'))
custom_hooks = [
    dict(type='mmimb.PlainCheckpointHook'),  # checkpoints that load without running code (weights_only=True)
    dict(type='mmimb.PreemptionHook'),  # SIGTERM saves a checkpoint; --resume goes on from it
    dict(type='mmimb.ClassWeightHook'),  # logs class weights, and changes those that wait (mmimb.Deferred)
]

tta_model = dict(type='mmimb.TTAModel')  # averages what the loss was trained on: raw scores, softmax or sigmoid
load_from = None
resume = False
