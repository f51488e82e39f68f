module connscope/goroutines

go 1.19
