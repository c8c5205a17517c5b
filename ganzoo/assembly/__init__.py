"""From a configuration to a pipeline: building, compatibility, a dry run, memory."""
