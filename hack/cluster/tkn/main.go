// Command tkn is Tekton's command line with the commands that the tests and the
// demo use: the real code, without the hub and triggers.
package main

import (
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/tektoncd/cli/pkg/cli"
	"github.com/tektoncd/cli/pkg/cmd/bundle"
	"github.com/tektoncd/cli/pkg/cmd/pipeline"
	"github.com/tektoncd/cli/pkg/cmd/pipelinerun"
	"github.com/tektoncd/cli/pkg/cmd/task"
	"github.com/tektoncd/cli/pkg/cmd/taskrun"
	"github.com/tektoncd/cli/pkg/cmd/version"
	"github.com/tektoncd/cli/pkg/plugins"
)

func main() {
	root := newRoot()
	if len(os.Args) > 1 {
		if found, _, _ := root.Find(os.Args[1:]); found == root {
			runPlugin(os.Args[1], os.Args[2:])
		}
	}
	if err := root.Execute(); err != nil {
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	params := &cli.TektonParams{}
	root := &cobra.Command{Use: "tkn", Short: "CLI for tekton pipelines", SilenceUsage: true}
	root.AddCommand(
		bundle.Command(params),
		pipeline.Command(params),
		pipelinerun.Command(params),
		task.Command(params),
		taskrun.Command(params),
		version.Command(params),
	)
	return root
}

// runPlugin becomes tkn-<name> when there is one, as the original does.
func runPlugin(name string, args []string) {
	path, err := plugins.FindPlugin(name)
	if err != nil {
		return
	}
	if err := syscall.Exec(path, append([]string{path}, args...), os.Environ()); err != nil {
		fmt.Fprintf(os.Stderr, "%s could not be started: %v\n", path, err)
		os.Exit(127)
	}
}
