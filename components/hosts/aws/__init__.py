"""The platform `aws`: each host is an EC2 instance. Imported on AWS only, since `import pulumi_aws` is slow."""
