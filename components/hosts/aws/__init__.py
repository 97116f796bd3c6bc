"""The platform `aws`: each host is an EC2 instance. `import pulumi_aws` is slow, so only `platform.py` leads to it."""
