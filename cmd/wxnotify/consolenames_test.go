package main

import (
	"go/ast"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestTextsNameTheConsoleAsItIs finds 服务器配置, the name of 消息推送配置 until 2025-12, in
// texts of the program and in both READMEs where the name of today is missing.
func TestTextsNameTheConsoleAsItIs(t *testing.T) {
	t.Parallel()
	today := func(where, text string) {
		if strings.Contains(text, "服务器配置") && !strings.Contains(text, "消息推送配置") {
			t.Errorf("%s: %s", where, text)
		}
	}
	for _, file := range sourceFiles(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				text, err := strconv.Unquote(literal.Value)
				check(t, err)
				today("package "+file.Name.Name, text)
			}
			return true
		})
	}
	for _, name := range []string{"../../README.md", "../../README.zh-CN.md"} {
		text, err := os.ReadFile(name)
		check(t, err)
		for line := range strings.Lines(string(text)) {
			today(name, line)
		}
	}
}
