"""What Meridian's speed is measured against: a workload, an oracle of its results, and baselines that do the same work.

Nothing here is shipped with the job. The baselines share code with one another and none with the job.
"""
