// Gateway receives webhooks, stores them, and delivers them.
package main

import "integration-gateway/platform/cli"

func main() { cli.Execute() }
